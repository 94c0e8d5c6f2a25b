// Package check holds the files in deploy/, docker-compose.yml, Dockerfile and .github/ to each other and to the program: it loads
// them with the libraries of the tools that will read them, runs the proxies and the program under their settings, and knows no room
// of Carom. What reads Kubernetes objects is larger than Carom itself, so this is a module of its own: run it by `make deploy-check`.
package check
