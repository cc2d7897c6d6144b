package config

import (
	"net"
	"regexp"
	"strconv"
	"strings"
)

// The values of Picture.Overwrite.
const (
	OverwriteOnChange = "on_change"
	OverwriteAlways   = "always"
)

// Picture says where a source has the pictures of its people.
type Picture struct {
	// Attribute is an expression of one attribute alone. It holds the picture, in a file
	// of CSV or JSON lines its path below the file's own directory, or its address.
	Attribute Expr `yaml:"attribute,required"`
	// Overwrite is on_change (a picture that somebody set in Mattermost stays until the
	// source's own changes) or always.
	Overwrite string `yaml:"overwrite"`
	// MaxSize is 1 KiB to 10 MiB.
	MaxSize Size `yaml:"max_size"`
	// FetchHosts are the hosts that addresses may be on, each with a port behind it where
	// that is not 443; without any, addresses are passed over.
	FetchHosts []string `yaml:"fetch_hosts"`
	// FetchPrivate lets these hosts have private addresses.
	FetchPrivate bool `yaml:"fetch_private"`
}

func defaultPicture() *Picture { return &Picture{Overwrite: OverwriteOnChange, MaxSize: 1 << 20} }

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)

func (v *validator) picture(at string, p *Picture) {
	if p == nil {
		return
	}
	v.oneOf(at+".overwrite", p.Overwrite, OverwriteOnChange, OverwriteAlways)
	if p.MaxSize < 1<<10 || p.MaxSize > 10<<20 {
		v.fault(at+".max_size", "want 1KiB to 10MiB, found "+p.MaxSize.String(), "Mattermost makes a square of 128 pixels of it")
	}
	for i, h := range p.FetchHosts {
		name, port, ok := strings.Cut(h, ":")
		n, err := strconv.ParseUint(port, 10, 16)
		if !hostName.MatchString(name) || net.ParseIP(name) != nil || ok && (err != nil || n == 0) {
			v.fault(indexPath(at+".fetch_hosts", i), v.quote(indexPath(at+".fetch_hosts", i))+" is not a host", "write photos.example.com, or photos.example.com:8443; only https is fetched")
		}
	}
	v.unique(at+".fetch_hosts", p.FetchHosts, strings.ToLower)
	if p.FetchPrivate && len(p.FetchHosts) == 0 {
		v.fault(at+".fetch_private", "says nothing without fetch_hosts", "name the hosts, or remove it")
	}
}
