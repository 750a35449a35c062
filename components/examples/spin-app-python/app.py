"""Notes, as `spin-app` keeps them, written with Spin's SDK for Python: `PUT /notes/<name>` keeps the body by key-value and
writes it into SQLite, `GET /notes/<name>` reads it back with a greeting out of a variable."""

from spin_sdk import http, key_value, sqlite, variables
from spin_sdk.http import Request, Response
from spin_sdk.sqlite import Value_Blob, Value_Text

TABLE = "CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, name TEXT NOT NULL, text BLOB NOT NULL)"


class HttpHandler(http.Handler):
    async def handle_request(self, request: Request) -> Response:
        name = request.uri.removeprefix("/notes/")
        if request.method == "PUT":
            await keep(name, request.body or b"")
            return answer(201, "")
        with await key_value.open_default() as store:
            text = await store.get(name)
        if text is None:
            return answer(404, f"no note {name}\n")
        greeting = await variables.get("greeting")
        return answer(200, f"{greeting}! {text.decode()} (written {await times_written(name)} times)\n")


def answer(status: int, text: str) -> Response:
    return Response(status, {"content-type": "text/plain"}, text.encode())


async def keep(name: str, text: bytes) -> None:
    with await key_value.open_default() as store:
        await store.set(name, text)
    with await sqlite.Connection.open_default() as history:
        await run(history, TABLE, [])
        await run(history, "INSERT INTO notes (name, text) VALUES (?, ?)", [Value_Text(name), Value_Blob(text)])


async def times_written(name: str) -> int:
    with await sqlite.Connection.open_default() as history:
        rows = await run(history, "SELECT COUNT(*) FROM notes WHERE name = ?", [Value_Text(name)])
    return rows[0].values[0].value


async def run(history: sqlite.Connection, statement: str, parameters: list) -> list:
    _, stream, done = await history.execute(statement, parameters)
    rows = []
    with stream:
        while not stream.writer_dropped:
            rows += await stream.read(100)
    with done:
        await done.read()
    return rows
