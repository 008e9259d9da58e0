package s3store

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/cantus-network/cantus/artifact"
)

var (
	errThere          = errors.New("there is such an object already")
	errUnknownRequest = errors.New("the service does not know such requests")
	errBroken         = errors.New("the answer broke off")
)

// fault names what an answer means and keeps the answer itself for people, but not as an
// error to unwrap: it is long and has the request's headers in reach.
type fault struct {
	meaning error
	text    string
}

func (f *fault) Error() string { return f.meaning.Error() + f.text }
func (f *fault) Unwrap() error { return f.meaning }

// meaning turns an answer of the service's into the store's errors.
func meaning(ctx context.Context, err error) error {
	if cerr := ctx.Err(); cerr != nil {
		return cerr
	}
	var status int
	var resp *awshttp.ResponseError
	if errors.As(err, &resp) {
		status = resp.HTTPStatusCode()
	}
	var code, text string
	var api smithy.APIError
	if errors.As(err, &api) {
		code, text = api.ErrorCode(), api.ErrorMessage()
	}
	said := ""
	if code != "" {
		said = fmt.Sprintf(" (HTTP %d %s: %.200s)", status, code, text)
	}
	switch {
	case code == "NoSuchBucket":
		return &fault{errors.New("there is no such bucket"), said}
	case status == http.StatusNotFound, code == "NoSuchKey":
		return &fault{artifact.ErrNotFound, said}
	case status == http.StatusPreconditionFailed, status == http.StatusConflict && code == "ConditionalRequestConflict":
		return &fault{errThere, said}
	case status == http.StatusNotImplemented:
		return &fault{errUnknownRequest, said}
	case status == http.StatusInsufficientStorage, code == "QuotaExceeded", code == "XMinioStorageFull", code == "XAdminBucketQuotaExceeded":
		return &fault{artifact.ErrFull, said}
	case status == http.StatusForbidden, status == http.StatusUnauthorized:
		return &fault{errors.New("the service refuses these credentials"), said}
	case code != "":
		return &fault{errors.New("the service failed"), said}
	}
	return err
}
