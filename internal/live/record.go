package live

import "time"

// Record is a call that has ended, as the access log tells of it and by the same names.
type Record struct {
	Time             time.Time `json:"time"`
	Route            string    `json:"route"`
	RPC              string    `json:"rpc,omitempty"`
	RequestID        string    `json:"request_id"`
	ClientIP         string    `json:"client_ip,omitempty"`
	Method           string    `json:"method"`
	Path             string    `json:"path"`
	Protocol         string    `json:"protocol"`
	HTTPVersion      string    `json:"http_version"`
	Code             string    `json:"code"`
	Status           int       `json:"status"`
	DurationMS       float64   `json:"duration_ms"`
	RequestBytes     int64     `json:"request_bytes"`
	ResponseBytes    int64     `json:"response_bytes"`
	RequestBody      int64     `json:"request_body_bytes"`
	ResponseBody     int64     `json:"response_body_bytes"`
	RequestMessages  int       `json:"request_messages"`
	ResponseMessages int       `json:"response_messages"`
	TraceID          string    `json:"trace_id,omitempty"`
	Principal        string    `json:"principal,omitempty"`
	RefusedBy        string    `json:"refused_by,omitempty"`
	Reason           string    `json:"reason,omitempty"`
	Cause            string    `json:"cause,omitempty"`
	Endpoint         string    `json:"endpoint,omitempty"`
	Branch           string    `json:"branch,omitempty"`
	BranchNotReady   string    `json:"branch_not_ready,omitempty"`
	Replayed         bool      `json:"replayed,omitempty"`
	KeyPassed        bool      `json:"key_passed,omitempty"`
	Cache            string    `json:"cache,omitempty"`
	Attempts         int       `json:"attempts,omitempty"`
	Hedged           int       `json:"hedged,omitempty"`
	RetryDenied      string    `json:"retry_denied,omitempty"`
	Operator         string    `json:"x_transom_console,omitempty"`
	UserAgent        string    `json:"user_agent,omitempty"`
	// Messages are for those who watch them; no filter sees them.
	Messages *Messages `json:"messages,omitempty"`
}

// Messages are the first of a call each way, in JSON; Cut tells that there was more.
type Messages struct {
	Request  []string `json:"request,omitempty"`
	Response []string `json:"response,omitempty"`
	Cut      bool     `json:"cut,omitempty"`
}

// variable is a name that filters may use.
type variable struct {
	kind kind
	of   func(*Record) any
}

type kind int

const (
	text kind = iota
	integer
	number
	truth
	moment
)

// variables are those of Record, by the names that it has in JSON.
var variables = map[string]variable{
	"time":                {moment, func(r *Record) any { return r.Time }},
	"route":               {text, func(r *Record) any { return r.Route }},
	"rpc":                 {text, func(r *Record) any { return r.RPC }},
	"request_id":          {text, func(r *Record) any { return r.RequestID }},
	"client_ip":           {text, func(r *Record) any { return r.ClientIP }},
	"method":              {text, func(r *Record) any { return r.Method }},
	"path":                {text, func(r *Record) any { return r.Path }},
	"protocol":            {text, func(r *Record) any { return r.Protocol }},
	"http_version":        {text, func(r *Record) any { return r.HTTPVersion }},
	"code":                {text, func(r *Record) any { return r.Code }},
	"status":              {integer, func(r *Record) any { return r.Status }},
	"duration_ms":         {number, func(r *Record) any { return r.DurationMS }},
	"request_bytes":       {integer, func(r *Record) any { return r.RequestBytes }},
	"response_bytes":      {integer, func(r *Record) any { return r.ResponseBytes }},
	"request_body_bytes":  {integer, func(r *Record) any { return r.RequestBody }},
	"response_body_bytes": {integer, func(r *Record) any { return r.ResponseBody }},
	"request_messages":    {integer, func(r *Record) any { return r.RequestMessages }},
	"response_messages":   {integer, func(r *Record) any { return r.ResponseMessages }},
	"trace_id":            {text, func(r *Record) any { return r.TraceID }},
	"principal":           {text, func(r *Record) any { return r.Principal }},
	"refused_by":          {text, func(r *Record) any { return r.RefusedBy }},
	"reason":              {text, func(r *Record) any { return r.Reason }},
	"cause":               {text, func(r *Record) any { return r.Cause }},
	"endpoint":            {text, func(r *Record) any { return r.Endpoint }},
	"branch":              {text, func(r *Record) any { return r.Branch }},
	"branch_not_ready":    {text, func(r *Record) any { return r.BranchNotReady }},
	"replayed":            {truth, func(r *Record) any { return r.Replayed }},
	"key_passed":          {truth, func(r *Record) any { return r.KeyPassed }},
	"cache":               {text, func(r *Record) any { return r.Cache }},
	"attempts":            {integer, func(r *Record) any { return r.Attempts }},
	"hedged":              {integer, func(r *Record) any { return r.Hedged }},
	"retry_denied":        {text, func(r *Record) any { return r.RetryDenied }},
	"x_transom_console":   {text, func(r *Record) any { return r.Operator }},
	"user_agent":          {text, func(r *Record) any { return r.UserAgent }},
}
