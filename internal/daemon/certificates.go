package daemon

import (
	"time"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/notice"
)

// ending is a certificate whose end somebody would notice.
type ending struct {
	// of is the part of the configuration that it belongs to, or where it was seen:
	// "scim.tls", "mattermost", "store", "source corp".
	of   string
	what string // in words
	ends time.Time
	next string
}

// shows is a part that knows the certificate of the server it connects to.
type shows interface {
	// CertificateEnds is zero for one that was not seen.
	CertificateEnds() time.Time
}

// certificates lists those of the listeners, and those that servers showed to this
// process last. A file that cannot be read is for the listener to complain about.
func (d *Daemon) certificates() []ending {
	out := listenerCertificates(d.Config)
	add := func(of, what string, ends time.Time) {
		if !ends.IsZero() {
			out = append(out, ending{of, what, ends, "Renew it on that server, and see mmsync doctor. mmsync does not connect to it afterwards."})
		}
	}
	ends := d.Target.Client().CertificateEnds()
	if d.look != nil && !d.look.client.CertificateEnds().IsZero() {
		ends = d.look.client.CertificateEnds() // it connects anew again and again
	}
	add(partMattermost, "the certificate of Mattermost", ends)
	if s, ok := d.Store.(shows); ok {
		add(partStore, "the certificate of the database of state.url", s.CertificateEnds())
	}
	for _, src := range d.Sources {
		if s, ok := src.(shows); ok {
			add("source "+src.Name(), "the certificate of the directory of source "+src.Name(), s.CertificateEnds())
		}
	}
	return out
}

func listenerCertificates(c *config.Config) []ending {
	var out []ending
	for _, l := range []struct {
		section string
		tls     *config.TLS
		hurt    string
	}{
		{"admin", c.Admin.TLS, "no browser shows the status page"},
		{"scim", c.SCIM.TLS, "no identity provider connects"},
	} {
		if l.tls == nil {
			continue
		}
		at, err := certificateEnds(l.tls.CertFile)
		if err != nil {
			continue
		}
		of := l.section + ".tls"
		out = append(out, ending{
			of, "the certificate of " + of, at, "Put a new pair where " + of + " says; it is read by itself. Without one " + l.hurt + ".",
		})
	}
	return out
}

// ends are the certificates as notices want them.
func (d *Daemon) ends() []notice.End {
	var out []notice.End
	for _, c := range d.certificates() {
		out = append(out, notice.End{Key: "certificate/" + c.of, What: c.what, At: c.ends, Next: c.next})
	}
	return out
}
