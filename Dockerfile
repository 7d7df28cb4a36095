# syntax=docker/dockerfile:1.7
# docker build --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse --short HEAD)" -t coherd .

FROM rust:1.95-bookworm AS build
WORKDIR /src
# Names of functions stay for stack traces; lines would be two thirds of the image.
ENV CARGO_PROFILE_RELEASE_DEBUG=false CARGO_PROFILE_RELEASE_STRIP=debuginfo
# The dependencies by themselves: a layer that is made anew only when they change.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src tests benches/coherd && touch src/lib.rs \
    && echo 'fn main() {}' | tee src/main.rs tests/main.rs benches/coherd/main.rs >/dev/null \
    && cargo build --locked --release --bin coherd
COPY src src
ARG REVISION=unknown
# Cargo goes by the time of a file, and that of a copy is the checkout's.
RUN touch src/lib.rs src/main.rs \
    && COHERD_REVISION="$REVISION" cargo build --locked --release --bin coherd

# The C library, certificates and a user; no shell.
FROM gcr.io/distroless/cc-debian12:nonroot
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="coherd" \
      org.opencontainers.image.description="A cache-coherence daemon: two tiers in front of an origin, invalidated everywhere within a stated bound" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /src/target/release/coherd /usr/local/bin/coherd
# Every key at its default, with its reason; mount your own over it.
COPY config/coherd.toml /etc/coherd/coherd.toml
USER 65532:65532
EXPOSE 8080 9080
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=2 \
    CMD ["/usr/local/bin/coherd", "status", "--ready"]
ENTRYPOINT ["/usr/local/bin/coherd"]
CMD ["serve", "-c", "/etc/coherd/coherd.toml"]
