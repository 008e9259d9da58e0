package plane

var Challenge = challenge

func DecodeLeaseReply(b []byte) (LeaseReply, error) { return decodeReply[LeaseReply](b) }
