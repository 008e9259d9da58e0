package docs

// nav is every page in the order of the menu. A page that is not listed does not exist.
var nav = []section{
	{"Start", []string{
		"README.md",
		"getting-started.md",
		"concepts.md",
		"commands.md",
		"troubleshooting.md",
	}},
	{"How it works", []string{
		"flow.md",
		"economics.md",
		"audits.md",
		"disputes.md",
		"receipts.md",
		"lineage.md",
		"ledger.md",
		"plane.md",
		"exact.md",
		"threat-model.md",
	}},
	{"Crawling", []string{
		"crawling.md",
		"datasets.md",
		"similarity.md",
		"crawl.md",
	}},
	{"Inference", []string{
		"inference.md",
		"measured.md",
		"openai.md",
		"contracts.md",
	}},
	{"Running it", []string{
		"operating.md",
		"workers.md",
		"models.md",
		"gateways.md",
		"observability.md",
		"faults.md",
		"api.md",
		"benchmarks.md",
		"scale.md",
	}},
	{"Working on it", []string{
		"development.md",
		"kinds.md",
		"adr/README.md",
		"adr/0001-sum-trees.md",
		"adr/0002-one-task-one-exchange.md",
		"adr/0003-plan-state.md",
		"adr/0004-session-bus.md",
		"adr/0005-node-keys-hold-no-funds.md",
		"adr/0006-unit-price-split.md",
		"adr/0007-plants.md",
		"adr/0008-cells.md",
		"adr/0009-worker-accounts.md",
		"adr/0010-integer-inference.md",
		"adr/0011-disputes-by-trace.md",
	}},
	{"Reference", []string{
		"reference/glossary.md",
		"reference/parameters.md",
		"reference/messages-work.md",
		"reference/types-work.md",
		"reference/queries-work.md",
		"reference/lineage.md",
		"reference/requests.md",
		"reference/packages.md",
	}},
}

type section struct {
	Title string
	Files []string
}
