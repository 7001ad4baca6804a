package openapi

import "slices"

// head has the page say what the document says of the whole API.
func (m *pageMaker) head(routes []*described) {
	m.writer.readFiles(routes)
	info := m.writer.info()
	m.page.Title, _ = info.get("title").(string)
	m.page.Version = m.writer.api.Version
	if version, _ := info.get("version").(string); m.page.Version != "" {
		m.page.Version = version
	}
	about, _ := info.get("description").(string)
	m.page.Description = paragraphs(about)
}

// aboutService is the text of a service's tag.
func (w *writer) aboutService(r *described) string {
	service := r.Method.Descriptor.Parent()
	tag := obj("name", r.tag, "description", commentOf(service).whole())
	w.applyTag(tag, service)
	text, _ := tag.get("description").(string)
	return text
}

// aboutMethod is the text of a method's operation: summary and description, and whether it is deprecated.
func (w *writer) aboutMethod(r *described) *object {
	d := r.Method.Descriptor
	comment := commentOf(d)
	about := obj("summary", comment.summary, "description", comment.rest)
	if deprecated(d) {
		about.put("deprecated", true)
	}
	for _, f := range w.fragments(d) {
		for i, name := range f.keys {
			if slices.Contains([]string{"summary", "description", "deprecated"}, name) {
				about.set(name, f.values[i])
			}
		}
	}
	return about
}
