// Package deploy holds what runs beside a network: a Grafana dashboard, an example of how
// to scrape, and alerts. It has no code; its test checks that they name nothing that the
// programs don't count.
package deploy
