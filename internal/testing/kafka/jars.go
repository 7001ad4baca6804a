package kafkatest

import (
	"testing"

	"github.com/transom-gateway/transom/internal/testing/installed"
)

// version is that of the broker.
const version = "4.1.1"

// project makes Maven fetch the broker and what it needs.
const project = `<project><modelVersion>4.0.0</modelVersion>
<groupId>transom</groupId><artifactId>kafka-for-tests</artifactId><version>1</version><packaging>pom</packaging>
<dependencies><dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>` + version + `</version></dependency></dependencies>
</project>
`

// jars is the folder of the broker's jars.
func jars(t testing.TB) string {
	t.Helper()
	return installed.Packages(t, installed.Maven, map[string][]byte{"pom.xml": []byte(project)})
}
