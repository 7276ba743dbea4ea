FROM python:3.11-slim AS build
WORKDIR /build
COPY requirements-dev.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements-dev.lock
COPY pyproject.toml README.md ./
COPY models models
COPY activities activities
COPY workflows workflows
COPY journeys journeys
COPY starter starter
COPY workers workers
COPY cli cli
COPY testing testing
COPY src src
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .

FROM python:3.11-slim
COPY requirements.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir --no-deps /wheels/*.whl && useradd --system campaigns
USER campaigns
ENTRYPOINT ["campaigns"]
