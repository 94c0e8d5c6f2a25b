# A static binary and nothing else. Build: docker build -t carom .
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o /out/carom ./cmd/carom && mkdir -p /out/data

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/carom /usr/local/bin/carom
# The volume is made with this directory's owner, the image's user without rights.
COPY --from=build --chown=65532:65532 /out/data /var/lib/carom
ENV CAROM_DATA_DIR=/var/lib/carom
VOLUME /var/lib/carom
EXPOSE 8080
USER 65532:65532
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s CMD ["/usr/local/bin/carom", "health"]
ENTRYPOINT ["/usr/local/bin/carom"]
CMD ["serve"]
