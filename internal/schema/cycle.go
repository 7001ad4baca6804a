package schema

import (
	"maps"
	"slices"
)

// importCycles finds one cycle for each group of files that import each other in
// a circle: the shortest one through the first file of the group by name, which
// it begins with. The graph is given as import path → imported paths.
func importCycles(graph map[string][]string) [][]string {
	var cycles [][]string
	covered := make(map[string]bool)
	for _, start := range slices.Sorted(maps.Keys(graph)) {
		if covered[start] {
			continue
		}
		cycle := shortestCycle(graph, start)
		if cycle == nil {
			continue
		}
		cycles = append(cycles, cycle)
		for _, file := range circle(graph, start) {
			covered[file] = true
		}
	}
	return cycles
}

// shortestCycle is the shortest way from a file back to itself, or nil.
func shortestCycle(graph map[string][]string, start string) []string {
	cameFrom := map[string]string{}
	for queue := []string{start}; len(queue) > 0; queue = queue[1:] {
		file := queue[0]
		for _, next := range graph[file] {
			if next == start {
				return wayTo(cameFrom, start, file)
			}
			if _, seen := cameFrom[next]; !seen {
				cameFrom[next] = file
				queue = append(queue, next)
			}
		}
	}
	return nil
}

// wayTo lists the files from start to end.
func wayTo(cameFrom map[string]string, start, end string) []string {
	way := []string{end}
	for file := end; file != start; {
		file = cameFrom[file]
		way = append(way, file)
	}
	slices.Reverse(way)
	return way
}

// circle is every file that start imports and that imports start, however far
// away.
func circle(graph map[string][]string, start string) []string {
	backwards := make(map[string][]string, len(graph))
	for file, imported := range graph {
		for _, path := range imported {
			backwards[path] = append(backwards[path], file)
		}
	}
	importers := reachable(backwards, start)
	var files []string
	for file := range reachable(graph, start) {
		if importers[file] {
			files = append(files, file)
		}
	}
	return files
}

func reachable(graph map[string][]string, start string) map[string]bool {
	seen := map[string]bool{start: true}
	for queue := []string{start}; len(queue) > 0; queue = queue[1:] {
		for _, next := range graph[queue[0]] {
			if !seen[next] {
				seen[next] = true
				queue = append(queue, next)
			}
		}
	}
	return seen
}
