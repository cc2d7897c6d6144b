package config_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/config"
)

func TestParse_picture_and_user_attributes(t *testing.T) {
	t.Parallel()
	s := parse(t, minimal).Sources[0]
	require.Nil(t, s.Picture)
	require.Nil(t, s.UserAttributes)
	require.Nil(t, s.PersonAttributes)
	own := "    user_filter: (objectClass=person)\n"
	text := replace(t, own, own+"    picture: {attribute: attr.jpegPhoto, fetch_hosts: [\"photos.example.com:8443\"]}\n    user_attributes: {Cost centre: attr.costCenter}\n    person_attributes: {Manager: attr.manager}\n")
	c := parse(t, text)
	s = c.Sources[0]
	require.Equal(t, "attr.jpegPhoto", s.Picture.Attribute.Text)
	require.Equal(t, config.OverwriteOnChange, s.Picture.Overwrite)
	require.EqualValues(t, 1<<20, s.Picture.MaxSize)
	require.Equal(t, []string{"photos.example.com:8443"}, s.Picture.FetchHosts)
	require.Equal(t, "attr.costCenter", s.UserAttributes["Cost centre"].Text)
	require.Equal(t, "attr.manager", s.PersonAttributes["Manager"].Text)

	first, err := c.Effective()
	require.NoError(t, err)
	require.Contains(t, string(first), "max_size: 1MiB")
	require.Contains(t, string(first), "Cost centre: attr.costCenter")
	require.Contains(t, string(first), "Manager: attr.manager")
	require.NotEqual(t, digest(t, parse(t, minimal)), digest(t, c), "both decide which changes are made")
	others := parse(t, strings.Replace(text, "{Manager: attr.manager}", "{Mentor: attr.manager}", 1))
	require.NotEqual(t, digest(t, others), digest(t, c))
}
