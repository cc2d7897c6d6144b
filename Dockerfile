# The image holds one static binary, the certificate authorities and the time
# zones (inside the binary), and nothing that could be run besides.
#
#   docker build -t mmsync .
#   docker run --rm -v ./config.yaml:/etc/mmsync/config.yaml:ro mmsync plan
#
# The builder is named by tag, so that a build picks up Go's security releases.
# To pin it, pass the digest you have checked:
#   docker build --build-arg GO_IMAGE=golang:1.26-bookworm@sha256:... -t mmsync .
ARG GO_IMAGE=golang:1.26-bookworm

FROM ${GO_IMAGE} AS build
WORKDIR /src
# Modules first: they change less often than the sources and stay cached.
COPY go.mod go.sum ./
RUN go mod download
# .git comes along, so that `mmsync version` names the commit.
COPY . .
RUN make build && mkdir -p /empty

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/bin/mmsync /usr/local/bin/mmsync
# A place for SQLite and saved plans, owned by the user below. Mount a volume
# here: what is only in the container's layer is gone with the container, and
# with it the knowledge of which accounts are ours.
COPY --from=build --chown=65532:65532 /empty /var/lib/mmsync
COPY --from=build --chown=65532:65532 /empty /tmp
# A number, so that Kubernetes can check runAsNonRoot without a passwd file.
USER 65532:65532
WORKDIR /var/lib/mmsync
ENTRYPOINT ["/usr/local/bin/mmsync"]
CMD ["--help"]
