package plane

import (
	"strings"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/cantus-network/cantus/work"
)

// Subjects, where KEY is the worker's public key in hexadecimal:
//
//	cantus.1.KEY.hello   requests: the worker publishes, the server subscribes
//	cantus.1.KEY.lease
//	cantus.1.KEY.done
//	cantus.1.KEY.part
//	cantus.1.KEY.in.>    replies: the server publishes, the worker subscribes
//	cantus.1.KEY.nudge   nudges: likewise
const (
	subjectRoot = "cantus.1."

	methodHello = "hello"
	methodLease = "lease"
	methodDone  = "done"
	methodPart  = "part"
)

var methods = []string{methodHello, methodLease, methodDone, methodPart}

const keyDigits = 2 * len(work.PublicKey{})

func requestSubject(worker work.PublicKey, method string) string {
	return subjectRoot + worker.String() + "." + method
}

func inboxPrefix(worker work.PublicKey) string { return subjectRoot + worker.String() + ".in" }

func nudgeSubject(worker work.PublicKey) string { return subjectRoot + worker.String() + ".nudge" }

// parseRequest reads the sender and the method out of a request's subject. The server's
// permissions guarantee that whoever published it holds the key.
func parseRequest(subject string) (worker work.PublicKey, method string, ok bool) {
	rest, ok := strings.CutPrefix(subject, subjectRoot)
	if !ok || len(rest) < keyDigits+2 || rest[keyDigits] != '.' {
		return work.PublicKey{}, "", false
	}
	worker, err := work.ParseKey(rest[:keyDigits])
	return worker, rest[keyDigits+1:], err == nil
}

// ownInbox reports whether a reply subject lies in the worker's own inbox. The server
// may publish anywhere, so without this check a request could make it write a reply into
// somebody else's subjects.
func ownInbox(worker work.PublicKey, reply string) bool {
	rest, ok := strings.CutPrefix(reply, inboxPrefix(worker)+".")
	return ok && rest != "" && len(rest) <= 128 && !strings.ContainsAny(rest, "*> \t\r\n")
}

// permissions are what a worker's connection may do: everything else is denied.
func permissions(worker work.PublicKey) *server.Permissions {
	var publish []string
	for _, m := range methods {
		publish = append(publish, requestSubject(worker, m))
	}
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: publish},
		Subscribe: &server.SubjectPermission{Allow: []string{inboxPrefix(worker) + ".>", nudgeSubject(worker)}},
	}
}
