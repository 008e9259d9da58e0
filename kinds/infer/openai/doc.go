// Package openai is the gateway's routes in the shape of OpenAI's API, as OpenAI's own
// clients speak it: models, chat completions, completions and embeddings, whole or
// streamed, with its errors. It turns a request into tasks (exact/claim), has a Network
// answer them, and gives every answer its proof in the field `cantus`. It knows nothing of
// jobs, workers or money.
//
//	network.go      what it needs: Network, Tab, Answer, Refusal
//	routes.go       Mount; keys, bodies, CORS, how long anybody may take
//	failure.go      errors in OpenAI's shape
//	fields.go       JSON bodies, strictly
//	sampling.go     the parameters that chat and completions share, into a claim.Task
//	messages.go     the messages of a chat
//	template.go     messages into a prompt, by the model's template; Package jinja renders
//	chat.go         POST /v1/chat/completions
//	completions.go  POST /v1/completions
//	embeddings.go   POST /v1/embeddings
//	models.go       GET /v1/models, GET /v1/models/{id}
//	speaker.go      tokens into text: whole characters, and nothing from a stop string on
//	generate.go     choices that come about side by side
//	stream.go       server-sent events
package openai
