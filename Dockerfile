# A gateway with everything it may need. The configuration is mounted:
#   docker run --rm -p 8080:8080 -v "$PWD/gateway.yaml:/etc/switchgear/gateway.yaml:ro" switchgear

FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
# A virtual environment is copied as a whole; pip and what it leaves behind stay here.
RUN python -m venv /opt/switchgear \
    && /opt/switchgear/bin/pip install --no-cache-dir --disable-pip-version-check '.[all]'

FROM python:3.13-slim
COPY --from=build /opt/switchgear /opt/switchgear
ENV PATH=/opt/switchgear/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1
# By number, for then Kubernetes can see that it is not root.
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
# In exec form the gateway is process 1 and gets SIGTERM itself, so that it drains.
ENTRYPOINT ["switchgear"]
CMD ["serve", "/etc/switchgear/gateway.yaml", "--host", "0.0.0.0"]
