package peers

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	benchv1 "github.com/transom-gateway/transom/bench/proto/bench/v1"
)

// maxTicks bounds a stream.
const maxTicks = 1_000_000

// opened is the time in all answers, fixed so that all peers answer alike.
var opened = time.Date(2026, time.January, 5, 9, 30, 0, 250_000_000, time.UTC)

var (
	// small is about 0.3 KB of JSON.
	small = smallItem()
	// list is about 50 KB of JSON: fifty items of about 1 KB.
	list = listOfItems()
)

func smallItem() *benchv1.Item {
	return &benchv1.Item{
		Id:          "item-1",
		Title:       "Brass hinge",
		Description: "For doors.",
		State:       benchv1.Item_ACTIVE,
		Price:       4.75,
		Stock:       120,
		Sold:        48210,
		Featured:    true,
		Tags:        []string{"brass"},
		Size:        &benchv1.Size{Width: 2, Height: 7.5, Depth: 0.25, Unit: "cm"},
		CreateTime:  timestamppb.New(opened),
		UpdateTime:  timestamppb.New(opened.Add(36 * time.Hour)),
	}
}

// LargeItem returns the n-th of items that are about 1 KB of JSON each.
func LargeItem(n int) *benchv1.Item {
	item := smallItem()
	item.Id = fmt.Sprintf("item-%d", 1000+n)
	item.Title = fmt.Sprintf("Brass hinge, model %d, \"Harbour\" line", n)
	item.Description = strings.Repeat("Cast, turned and polished by hand; fits doors of two to four centimetres. ", 7)
	item.Price = 4.75 + float64(n)/4
	item.Tags = []string{"brass", "hinge", "door", "harbour", "handmade"}
	item.Ratings = []int32{5, 4, 5, 3, 5, 4}
	item.Labels = map[string]string{
		"supplier":  "Okoro & Sons",
		"warehouse": "north-2",
		"colour":    "gold",
		"finish":    "polished",
	}
	return item
}

func listOfItems() *benchv1.ListItemsResponse {
	l := &benchv1.ListItemsResponse{NextPageToken: "aXRlbS0xMDUw"}
	for n := range 50 {
		l.Items = append(l.Items, LargeItem(n))
	}
	return l
}

func tick(sequence uint64) *benchv1.Tick {
	return &benchv1.Tick{Sequence: sequence, Item: "item-1", Time: timestamppb.New(opened)}
}
