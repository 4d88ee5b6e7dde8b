// Kstatus reads Kubernetes objects as JSON, one a line, and prints what kstatus makes of each: the
// library by which kubectl's wait-like tools, Flux and cli-utils judge whether an object is done.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// The longest line: the status of a model with all conditions has a few kilobytes.
const longest = 1 << 20

type answer struct {
	Status  status.Status `json:"status"`
	Message string        `json:"message"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, longest)
	for lines.Scan() {
		text, err := judge(lines.Bytes())
		if err != nil {
			log.Fatalf("%v: %s", err, lines.Text())
		}
		fmt.Println(text)
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
}

func judge(line []byte) (string, error) {
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(line); err != nil {
		return "", fmt.Errorf("no Kubernetes object: %w", err)
	}
	result, err := status.Compute(object)
	if err != nil {
		return "", fmt.Errorf("kstatus: %w", err)
	}
	text, err := json.Marshal(answer{Status: result.Status, Message: result.Message})
	return string(text), err
}
