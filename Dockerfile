# A static binary and nothing else. Build: docker build -t carom .
# Base images are pinned by the digest of their multi-platform index; Dependabot moves tag and digest together.
FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm@sha256:a688600ca24f8a4d3ca77f95b0dd40704a9fc787c826660eb7ba0b641b8b175d AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
# The repository's .git comes along, so that `carom version` and the build information name the version and the commit.
COPY . .
ARG TARGETOS TARGETARCH
# -pgo=auto takes cmd/carom/default.pgo, the profile of a redirect under load. -s -w leaves out the debugger's tables; stack traces and
# profiles keep their names.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -pgo=auto -ldflags='-s -w' -o /out/carom ./cmd/carom && mkdir -p /out/data

# No shell, no package manager: certificates, an entry for the user without rights, and the program.
FROM gcr.io/distroless/static-debian12:nonroot@sha256:afa5c872c891853ca7fcf1f12c3edb23f7eeef36189728842dd51042ff57f7ab
LABEL org.opencontainers.image.title="carom" \
      org.opencontainers.image.description="A redirect engine: a short code comes in, a redirect goes out, and the click is never lost." \
      org.opencontainers.image.source="https://github.com/carom-dev/carom" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/carom /usr/local/bin/carom
# A new volume gets this directory's owner, the user without rights. It is all that Carom writes to: the root may be read-only.
COPY --from=build --chown=65532:65532 /out/data /var/lib/carom
ENV CAROM_DATA_DIR=/var/lib/carom
VOLUME /var/lib/carom
EXPOSE 8080
USER 65532:65532
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 CMD ["/usr/local/bin/carom", "health"]
ENTRYPOINT ["/usr/local/bin/carom"]
CMD ["serve"]
