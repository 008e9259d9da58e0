package main

import (
	"crypto/rand"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/work"
)

// receipt says which part of an answer's time it takes to encode its task and result,
// digest both and sign the receipt.
func receipt(prompt, answer []uint32, took time.Duration) (float64, error) {
	key, err := work.GenerateKey(rand.Reader)
	if err != nil {
		return 0, err
	}
	const times = 100
	began := time.Now()
	for range times {
		task := claim.Task{Prompt: prompt, MaxTokens: uint32(len(answer))}
		body, err := task.Encode()
		if err != nil {
			return 0, err
		}
		result, err := (&claim.Result{Output: answer, Finish: claim.Length}).Encode()
		if err != nil {
			return 0, err
		}
		_, err = work.SignReceipt(key, work.Receipt{
			Chain: "bench", Job: 1, Seq: 1, Attempt: 1, Task: work.Task{Job: 1, Seq: 1, Body: body}.Digest(), Result: artifact.Sum(result), Units: 1, Started: 1, Finished: 2,
		})
		if err != nil {
			return 0, err
		}
	}
	return time.Since(began).Seconds() / times / took.Seconds(), nil
}
