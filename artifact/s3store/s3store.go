// Package s3store is an artifact.Store in a bucket of any service that speaks S3: for
// gateways with more blobs than one disk holds, and for several cells with one store.
//
//	s3store.go  Options, Open, the Store
//	errors.go   what the service's answers mean
//	address.go  s3://bucket/prefix?… as an operator writes it
//
// A blob's key is PREFIX/ab/abcdef…, its digest in hexadecimal below the first byte of it,
// so that services that divide a bucket by keys spread it. A key never changes what it
// holds: a blob is put only where none is, unless what is there is found damaged. Every
// read is verified; the service is trusted with keeping bytes, not with telling the truth.
//
// Credentials come from where all S3 tools look for them, the environment
// (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or the shared file (AWS_SHARED_CREDENTIALS_FILE,
// AWS_PROFILE, ~/.aws/credentials), never from an address or a command line, which others
// on the machine can read.
package s3store

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/cantus-network/cantus/artifact"
)

const (
	tries       = 4                // of a request that failed on the way or at the service
	backoff     = 5 * time.Second  // the longest wait between them
	requestTime = 2 * time.Minute  // of one request, without the body of Open
	openTime    = 30 * time.Second // to find the bucket at the start
	concurrent  = 16               // requests of one call at a time
)

// Options name a bucket and bound what goes into it.
type Options struct {
	artifact.Options
	Bucket    string
	Prefix    string // of all keys, without slashes at its ends
	Endpoint  string // URL of the service; empty for Amazon's own
	Region    string // empty for the environment's, or else us-east-1
	PathStyle bool   // the bucket in the path, not in the host name
}

// Store is an artifact.Store in a bucket. What Quota allows is counted in this process: if
// several write to the bucket, each counts its own on top of what was there at its start.
type Store struct {
	client *s3.Client
	opts   Options
	// plain is set once the service turned out not to know conditional puts.
	plain atomic.Bool

	mu   sync.Mutex
	used int64
}

var _ artifact.Store = (*Store)(nil)

// Open finds the bucket, which must exist.
func Open(ctx context.Context, o Options) (*Store, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.MaxBlob == 0 {
		o.MaxBlob = artifact.DefaultMaxBlob
	}
	cfg, err := config.LoadDefaultConfig(ctx,
		config.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(so *retry.StandardOptions) { so.MaxAttempts, so.MaxBackoff = tries, backoff })
		}),
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTransportOptions(transport)),
		// Only what we ask for is summed: not every service knows the newer trailers, and
		// what comes back is verified against its digest anyway.
		config.WithRequestChecksumCalculation(aws.RequestChecksumCalculationWhenRequired),
		config.WithResponseChecksumValidation(aws.ResponseChecksumValidationWhenRequired),
	)
	if err != nil {
		return nil, fmt.Errorf("open the artifact store %s: read the credentials: %w", o, err)
	}
	if o.Region != "" {
		cfg.Region = o.Region
	}
	if cfg.Region == "" {
		cfg.Region = "us-east-1" // services with one region take any name, and signing needs one
	}
	s := &Store{opts: o, client: s3.NewFromConfig(cfg, func(so *s3.Options) {
		so.UsePathStyle = o.PathStyle
		if o.Endpoint != "" {
			so.BaseEndpoint = &o.Endpoint
		}
	})}
	find, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	if _, err := s.client.HeadBucket(find, &s3.HeadBucketInput{Bucket: &o.Bucket}); err != nil {
		return nil, fmt.Errorf("open the artifact store %s: %w; the bucket must exist, and AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or ~/.aws/credentials must allow reading, listing and writing", o, meaning(find, err))
	}
	if o.Quota > 0 {
		if err := s.count(ctx); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func transport(t *http.Transport) {
	t.MaxIdleConnsPerHost = 2 * concurrent
	t.ResponseHeaderTimeout = requestTime
	t.DisableCompression = true // sizes and digests are of the bytes as they are
}

// count adds up what is in the bucket under the prefix.
func (s *Store) count(ctx context.Context) error {
	pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{Bucket: &s.opts.Bucket, Prefix: aws.String(s.prefix())})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("count what is in %s: %w", s.opts, meaning(ctx, err))
		}
		for _, x := range page.Contents {
			if _, err := artifact.ParseDigest(path.Base(aws.ToString(x.Key))); err == nil {
				s.used += aws.ToInt64(x.Size)
			}
		}
	}
	return nil
}

func (s *Store) prefix() string {
	if s.opts.Prefix == "" {
		return ""
	}
	return s.opts.Prefix + "/"
}

func (s *Store) key(d artifact.Digest) *string {
	hex := d.String()
	return aws.String(s.prefix() + hex[:2] + "/" + hex)
}

// Put implements artifact.Store.
func (s *Store) Put(ctx context.Context, b []byte) (artifact.Digest, error) {
	ds, err := s.PutAll(ctx, [][]byte{b})
	if err != nil {
		return artifact.Digest{}, err
	}
	return ds[0], nil
}

// PutAll implements artifact.Store.
func (s *Store) PutAll(ctx context.Context, blobs [][]byte) ([]artifact.Digest, error) {
	ds := make([]artifact.Digest, len(blobs))
	first := map[artifact.Digest]bool{}
	var todo []int
	for i, b := range blobs {
		if int64(len(b)) > s.opts.MaxBlob {
			return nil, fmt.Errorf("%w: blob %d of %d has %d bytes, this store takes %d", artifact.ErrTooLarge, i+1, len(blobs), len(b), s.opts.MaxBlob)
		}
		if ds[i] = artifact.Sum(b); !first[ds[i]] {
			first[ds[i]] = true
			todo = append(todo, i)
		}
	}
	err := each(ctx, len(todo), func(ctx context.Context, i int) error {
		return s.put(ctx, ds[todo[i]], blobs[todo[i]])
	})
	if err != nil {
		return nil, err
	}
	return ds, nil
}

func (s *Store) put(ctx context.Context, d artifact.Digest, b []byte) error {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	there, damaged, err := s.look(ctx, d, int64(len(b)))
	if err != nil {
		return fmt.Errorf("store artifact %s in %s: %w", d, s.opts, err)
	}
	if there && !damaged {
		return nil
	}
	if !there && !s.reserve(int64(len(b))) {
		return fmt.Errorf("store artifact %s in %s: %w: its %d bytes are more than is left of the quota of %d", d, s.opts, artifact.ErrFull, len(b), s.opts.Quota)
	}
	if err := s.upload(ctx, d, b, !there); err != nil {
		if !there {
			s.reserve(-int64(len(b)))
		}
		if errors.Is(err, errThere) {
			return nil // another was faster
		}
		return fmt.Errorf("store artifact %s in %s: %w", d, s.opts, err)
	}
	return nil
}

// upload puts the object; with fresh only where there is none.
func (s *Store) upload(ctx context.Context, d artifact.Digest, b []byte, fresh bool) error {
	for {
		in := &s3.PutObjectInput{
			Bucket: &s.opts.Bucket, Key: s.key(d), Body: bytes.NewReader(b), ContentLength: aws.Int64(int64(len(b))),
			ContentType: aws.String("application/octet-stream"), ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(d[:])),
		}
		conditional := fresh && !s.plain.Load()
		if conditional {
			in.IfNoneMatch = aws.String("*")
		}
		_, err := s.client.PutObject(ctx, in)
		if err == nil {
			return nil
		}
		if err = meaning(ctx, err); conditional && errors.Is(err, errUnknownRequest) {
			s.plain.Store(true) // writing the same bytes twice is only a waste
			continue
		}
		return err
	}
}

// look says whether there is an object under a digest, and whether it can't be the blob.
func (s *Store) look(ctx context.Context, d artifact.Digest, size int64) (there, damaged bool, err error) {
	h, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.opts.Bucket, Key: s.key(d), ChecksumMode: types.ChecksumModeEnabled})
	if err != nil {
		if err = meaning(ctx, err); errors.Is(err, artifact.ErrNotFound) {
			return false, false, nil
		}
		return false, false, err
	}
	if size >= 0 && aws.ToInt64(h.ContentLength) != size {
		return true, true, nil
	}
	if sum := aws.ToString(h.ChecksumSHA256); sum != "" && sum != base64.StdEncoding.EncodeToString(d[:]) {
		return true, true, nil
	}
	return true, false, nil
}

func (s *Store) reserve(n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opts.Quota > 0 && n > 0 && s.used+n > s.opts.Quota {
		return false
	}
	s.used += n
	return true
}

// Get implements artifact.Store.
func (s *Store) Get(ctx context.Context, d artifact.Digest, max int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	for try := 1; ; try++ {
		b, err := s.get(ctx, d, max)
		// What the request's own tries don't cover is a body that breaks off.
		if err == nil || try == tries || ctx.Err() != nil || !errors.Is(err, errBroken) {
			return b, err
		}
	}
}

func (s *Store) get(ctx context.Context, d artifact.Digest, max int64) ([]byte, error) {
	r, size, err := s.Open(ctx, d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if max > 0 && size > max {
		return nil, fmt.Errorf("fetch artifact %s from %s: %w: %d bytes, at most %d were asked for", d, s.opts, artifact.ErrTooLarge, size, max)
	}
	// The buffer grows with what comes: a size that is only announced costs nothing.
	b, err := io.ReadAll(r)
	switch {
	case errors.Is(err, artifact.ErrCorrupt), err != nil && ctx.Err() != nil:
		return nil, fmt.Errorf("fetch artifact %s from %s: %w", d, s.opts, errors.Join(err, ctx.Err()))
	case err != nil:
		return nil, fmt.Errorf("fetch artifact %s from %s: %w: %w", d, s.opts, errBroken, err)
	}
	return b, nil
}

// Open implements artifact.Store.
func (s *Store) Open(ctx context.Context, d artifact.Digest) (io.ReadCloser, int64, error) {
	o, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.opts.Bucket, Key: s.key(d)})
	if err != nil {
		return nil, 0, fmt.Errorf("fetch artifact %s from %s: %w", d, s.opts, meaning(ctx, err))
	}
	if o.ContentLength == nil || *o.ContentLength < 0 || *o.ContentLength > s.opts.MaxBlob {
		o.Body.Close()
		return nil, 0, fmt.Errorf("fetch artifact %s from %s: %w: the service says that it has %d bytes", d, s.opts, artifact.ErrTooLarge, aws.ToInt64(o.ContentLength))
	}
	return artifact.VerifiedReader(o.Body, d, *o.ContentLength), *o.ContentLength, nil
}

// Has implements artifact.Store.
func (s *Store) Has(ctx context.Context, ds ...artifact.Digest) ([]bool, error) {
	has := make([]bool, len(ds))
	err := each(ctx, len(ds), func(ctx context.Context, i int) (err error) {
		ctx, cancel := context.WithTimeout(ctx, requestTime)
		defer cancel()
		there, damaged, err := s.look(ctx, ds[i], -1)
		if err != nil {
			return fmt.Errorf("look for artifact %s in %s: %w", ds[i], s.opts, err)
		}
		has[i] = there && !damaged
		return nil
	})
	return has, err
}

// each calls f for 0 to n-1, several at a time, and stops at the first error.
func each(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var next atomic.Int64
	var once sync.Once
	var failed error
	var wg sync.WaitGroup
	for range min(n, concurrent) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n || ctx.Err() != nil {
					return
				}
				if err := f(ctx, i); err != nil {
					once.Do(func() { failed = err; cancel() })
					return
				}
			}
		})
	}
	wg.Wait()
	if failed != nil {
		return failed
	}
	return ctx.Err()
}

// String names the bucket for people, without anything secret.
func (o Options) String() string {
	return "s3://" + strings.TrimSuffix(o.Bucket+"/"+o.Prefix, "/")
}
