"""What runs beside the tests does what the tests take it for."""

from __future__ import annotations

import json
import subprocess
import threading
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import numpy as np
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from tests.services.model_servers import ModelServer


def asked(url: str, body: dict[str, Any]) -> Any:
    request = Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urlopen(request, timeout=30) as response:
        return json.load(response)


@pytest.mark.slow
def test_postgresql_rows_locked_loses_no_update(postgresql_database: str) -> None:
    import sqlalchemy

    engine = sqlalchemy.create_engine(postgresql_database, pool_size=8)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE spent (n INTEGER)"))
        connection.execute(sqlalchemy.text("INSERT INTO spent VALUES (0)"))

    def add() -> None:
        for _ in range(20):
            with engine.begin() as connection:
                n = connection.execute(sqlalchemy.text("SELECT n FROM spent FOR UPDATE")).scalar_one()
                connection.execute(sqlalchemy.text("UPDATE spent SET n = :n"), {"n": n + 1})

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT n FROM spent")).scalar_one() == 160
    engine.dispose()


@pytest.mark.slow
def test_postgresql_database_is_new_for_each_test(postgresql_database: str) -> None:
    import psycopg

    with psycopg.connect(postgresql_database.replace("+psycopg", "")) as connection:
        found = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert found == (0,)


def test_redis_limit_of_five_lets_five_through(redis_url: str) -> None:
    from limits.storage import storage_from_string
    from limits.strategies import FixedWindowRateLimiter
    from limits.util import parse

    limiter = FixedWindowRateLimiter(storage_from_string(redis_url))
    rate = parse("5/hour")
    assert sum(limiter.hit(rate, "someone") for _ in range(12)) == 5


@pytest.mark.slow
def test_axe_in_chromium_finds_a_picture_without_words(chromium: Browser, axe_source: str) -> None:
    page = chromium.new_page()
    page.set_content("<!DOCTYPE html><html lang=en><title>t</title><main><h1>a</h1><img src='data:,'></main>")
    page.evaluate(axe_source)
    found = page.evaluate("axe.run()")
    assert [violation["id"] for violation in found["violations"]] == ["image-alt"]


@pytest.mark.slow
def test_mlserver_answers_as_the_model_does(mlserver: ModelServer) -> None:
    tensor = {
        "name": "x",
        "datatype": "FP32",
        "shape": list(mlserver.records.shape),
        "data": mlserver.records.ravel().tolist(),
    }
    body = {"inputs": [tensor], "outputs": [{"name": "predict_proba"}]}
    (output,) = asked(f"{mlserver.url}/v2/models/{mlserver.model}/infer", body)["outputs"]
    found = np.reshape(output["data"], output["shape"])
    np.testing.assert_allclose(found, mlserver.probabilities, rtol=1e-6, atol=1e-12)


@pytest.mark.slow
def test_mlflow_server_answers_as_the_model_does(mlflow_server: ModelServer) -> None:
    body = {"inputs": mlflow_server.records.tolist()}
    found = np.array(asked(f"{mlflow_server.url}/invocations", body)["predictions"])
    np.testing.assert_allclose(found, mlflow_server.probabilities, rtol=1e-6, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("module", ["tritonclient.http", "mlserver_sklearn"])
def test_mlserver_environment_has_its_clients(mlserver: ModelServer, module: str) -> None:
    subprocess.run([mlserver.python, "-c", f"import {module}"], check=True)
