package s3store

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Scheme begins the address of a bucket.
const Scheme = "s3://"

var (
	buckets  = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	prefixes = regexp.MustCompile(`^([A-Za-z0-9_.-]+/)*[A-Za-z0-9_.-]+$`)
	regions  = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)
)

// Parse reads s3://bucket/prefix?endpoint=URL&region=NAME&path-style=BOOL&insecure=BOOL.
// Everything but the bucket may be missing. With an endpoint the bucket goes into the path
// unless path-style=false says otherwise, since few services have a host name for each.
// Going to another machine without TLS wants insecure=true.
func Parse(address string) (Options, error) {
	var o Options
	fail := func(why string) (Options, error) {
		return Options{}, fmt.Errorf("artifact store %.120q: %s: want s3://bucket/prefix?endpoint=https://s3.example.org&region=NAME", address, why)
	}
	u, err := url.Parse(address)
	if err != nil {
		return fail("not a URL")
	}
	switch {
	case u.Scheme != "s3" || u.Fragment != "":
		return fail("not the address of a bucket")
	case u.User != nil:
		return Options{}, errors.New("an artifact store's address must not hold credentials: they belong into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or ~/.aws/credentials")
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return fail("what follows the ? can't be read")
	}
	flag := func(name string, otherwise bool) (bool, error) {
		if v := q.Get(name); v != "" {
			return strconv.ParseBool(v)
		}
		return otherwise, nil
	}
	known := []string{"endpoint", "region", "path-style", "insecure"}
	for k, v := range q {
		if !slices.Contains(known, k) || len(v) != 1 {
			return fail(fmt.Sprintf("%.40q is none of %s, each once", k, strings.Join(known, ", ")))
		}
	}
	o.Bucket, o.Prefix = u.Host, strings.Trim(u.Path, "/")
	o.Endpoint, o.Region = strings.TrimSuffix(q.Get("endpoint"), "/"), q.Get("region")
	if o.PathStyle, err = flag("path-style", o.Endpoint != ""); err != nil {
		return fail("path-style is true or false")
	}
	insecure, err := flag("insecure", false)
	if err != nil {
		return fail("insecure is true or false")
	}
	if err := o.check(); err != nil {
		return Options{}, err
	}
	if e, _ := url.Parse(o.Endpoint); e.Scheme == "http" && !insecure && !loopback(e.Hostname()) {
		return fail("the endpoint is on another machine and goes without TLS: use https, or say insecure=true")
	}
	return o, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (o Options) check() error {
	switch {
	case !buckets.MatchString(o.Bucket):
		return fmt.Errorf("artifact store %s: %.80q can't be the name of a bucket", o, o.Bucket)
	case o.Prefix != "" && (!prefixes.MatchString(o.Prefix) || slices.ContainsFunc(strings.Split(o.Prefix, "/"), func(s string) bool { return s == "." || s == ".." })):
		return fmt.Errorf("artifact store %s: the prefix %.80q: want names of letters, digits, _, . and - with slashes between", o, o.Prefix)
	case o.Region != "" && !regions.MatchString(o.Region):
		return fmt.Errorf("artifact store %s: %.60q can't be a region", o, o.Region)
	case o.MaxBlob < 0 || o.Quota < 0:
		return fmt.Errorf("artifact store %s: a blob limit of %d and a quota of %d bytes: neither may be negative", o, o.MaxBlob, o.Quota)
	}
	if o.Endpoint == "" {
		return nil
	}
	u, err := url.Parse(o.Endpoint)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("artifact store %s: the endpoint %.80q: want a URL like https://s3.example.org", o, o.Endpoint)
	}
	return nil
}
