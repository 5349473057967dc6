# edgestream for worker, writer and producer. The C kernel is built in the first stage; an image
# without it fails to build.
ARG BASE=python:3.12-slim-bookworm

FROM ${BASE} AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev python3-dev
WORKDIR /source
COPY . .
RUN python3 -m venv /opt/edgestream \
 && /opt/edgestream/bin/pip install --no-cache-dir --constraint constraints.txt . \
 && cd / && /opt/edgestream/bin/python -c "from xas.wacsf import kernel_name; assert kernel_name() != 'numpy'"

FROM ${BASE}
COPY --from=build /opt/edgestream /opt/edgestream
RUN useradd --create-home edgestream && install -d -o edgestream /data
ENV PATH=/opt/edgestream/bin:$PATH PYTHONUNBUFFERED=1
USER edgestream
WORKDIR /data
ENTRYPOINT ["edgestream"]
CMD ["--help"]
