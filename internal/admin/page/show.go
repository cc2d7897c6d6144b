package page

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/explain"
	"github.com/mmsync/mmsync/internal/identity"
)

//go:embed templates style.css
var files embed.FS

// names of the pages, each a template of its own within the layout.
func pages() []string {
	return []string{"overview", "runs", "run", "held", "conflicts", "people", "login", "message"}
}

// templates are parsed once a process; a fault of them is one of the program.
func parse() map[string]*template.Template {
	out := map[string]*template.Template{}
	for _, name := range pages() {
		t := template.New("layout.html").Funcs(words()).Option("missingkey=error")
		out[name] = template.Must(t.ParseFS(files, "templates/layout.html", "templates/parts.html", "templates/"+name+".html"))
	}
	return out
}

var templates = parse() //nolint:gochecknoglobals // read-only, made of embedded files

// view is what every page has.
type view struct {
	Title string
	// Page names the page, to mark it among the links.
	Page    string
	Session *session
	// Form goes along with every form that is sent.
	Form string
	// Here is where a login comes back to.
	Here  string
	CanIn bool // there is a way to log in
	Now   time.Time
	Data  any
}

func (p *Page) show(w http.ResponseWriter, r *http.Request, status int, name, title string, data any) {
	v := view{Title: title, Page: name, Session: p.session(r), Here: r.URL.RequestURI(), CanIn: p.o.Token != nil || p.oidc != nil, Now: time.Now(), Data: data}
	if v.Session != nil {
		v.Form = p.formToken(v.Session)
	}
	if r.Method == http.MethodPost || name == "login" {
		v.Here = "/"
	}
	var b bytes.Buffer
	if err := templates[name].Execute(&b, v); err != nil {
		p.log.ErrorContext(r.Context(), "a page could not be made", "page", name, "error", err)
		http.Error(w, "The page could not be made; the log says why.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // whoever asked is gone if it fails
}

// fail shows a sentence in place of what was asked for.
func (p *Page) fail(w http.ResponseWriter, r *http.Request, status int, sentence string) {
	p.show(w, r, status, "message", http.StatusText(status), sentence)
}

// broken shows that something did not work; what, the log says.
func (p *Page) broken(w http.ResponseWriter, r *http.Request, what string, err error) {
	p.log.ErrorContext(r.Context(), "the status page could not do what was asked", "what", what, "error", err)
	p.fail(w, r, http.StatusInternalServerError, "This could not be read just now; the log of mmsync says why. Load the page again, and look whether the store is there.")
}

func (p *Page) unknown(w http.ResponseWriter, r *http.Request) {
	p.fail(w, r, http.StatusNotFound, "There is no such page. The links above lead to all there are.")
}

func style(w http.ResponseWriter, _ *http.Request) {
	data, err := fs.ReadFile(files, "style.css")
	if err != nil {
		http.Error(w, "no style", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	_, _ = w.Write(data)
}

// How many characters of one value, and of one sentence, are shown: a name of a source
// may have any number.
const (
	mostShown    = 300
	mostSentence = 3000
)

// words are what templates write values with.
func words() template.FuncMap {
	return template.FuncMap{
		"text":       text,
		"value":      value,
		"when":       func(t time.Time) string { return explain.When(t) },
		"stamp":      func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"age":        func(t time.Time) string { return age(time.Since(t)) },
		"took":       took,
		"n":          thousands,
		"personPath": personPath,
		"runPath":    func(id string) string { return "/runs/" + url.PathEscape(id) },
		// A browser changes line ends in what it sends.
		"pick":      func(k identity.Key) string { return url.QueryEscape(k.String()) },
		"key":       func(k identity.Key) string { return k.String() },
		"loginPath": func(next string) string { return "/login?next=" + url.QueryEscape(next) },
		"startPath": func(next string) string { return startPath + "?next=" + url.QueryEscape(next) },
		"inc":       func(n int) int { return n + 1 },
		"dec":       func(n int) int { return n - 1 },
		"dict":      dict,
		"lines":     func(s string) []string { return strings.Split(s, "\n") },
		"plural": func(n int, one, many string) string {
			if n == 1 {
				return one
			}
			return many
		},
	}
}

// dict names the things that a part of a page is given.
func dict(pairs ...any) (map[string]any, error) {
	out := make(map[string]any, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("%v is not a name", pairs[i])
		}
		out[name] = pairs[i+1]
	}
	return out, nil
}

func cut(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

// text shows a sentence in which values may stand: what a browser would carry out
// within text, such as a change of direction, is shown as an escape.
func text(v any) string {
	return strings.ReplaceAll(explain.Safe(cut(fmt.Sprint(v), mostSentence)), "\n", `\n`)
}

// value shows one value, in quotes where it is not plainly readable.
func value(s string) string {
	if s == "" {
		return `""`
	}
	return explain.Printable(cut(s, mostShown))
}

// age says roughly how long ago something was.
func age(d time.Duration) string {
	switch {
	case d < 0:
		return "in the future"
	case d < 2*time.Second:
		return "just now"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d seconds ago", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d minutes ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d days ago", int(d.Hours()/24))
}

func took(from, to time.Time) string {
	if from.IsZero() || to.IsZero() {
		return "–"
	}
	d := to.Sub(from)
	if d < 10*time.Second {
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// thousands groups digits.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "\u00a0" + s[i:]
	}
	return s
}
