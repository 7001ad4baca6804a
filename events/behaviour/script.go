package behaviour

import _ "embed" // of the script

// Script is what pages load to send events: it is small, keeps nothing of third parties, and sends
// nothing where the browser says Sec-GPC (Events 202).
//
//go:embed transom.js
var Script []byte
