"""What every served model has: its page, the page of its API, and whether it answers."""

from pathlib import Path

from fastapi import FastAPI, HTTPException
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse
from fastapi.staticfiles import StaticFiles
from swagger_ui_bundle import swagger_ui_path

from pipeline.deployment.connections import API_PAGE

PAGES = Path(__file__).parent / "serve-pages"


def new_app(about: str) -> FastAPI:
    """GET /health, and the API's own page at /docs.

    Args:
        about: a sentence on what is served.
    """
    app = FastAPI(title="Co-Tuning", description=about, docs_url=None, redoc_url=None)
    app.openapi_version = "3.0.3"  # the newest that the bundled page of the API reads
    app.mount("/api-page", StaticFiles(directory=swagger_ui_path))

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Whether the server answers."""
        return {"status": "ok"}

    @app.get(API_PAGE, include_in_schema=False)
    async def api_page() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="Co-Tuning: API",
            swagger_js_url="/api-page/swagger-ui-bundle.js",
            swagger_css_url="/api-page/swagger-ui.css",
            swagger_favicon_url="/favicon.svg",
        )

    return app


def add_page(app: FastAPI, own: str) -> None:
    """The page at /, with the files of all pages and those of its own folder below PAGES.

    It takes every path that is left: call it last.
    """
    files = {path.name: path for folder in (PAGES, PAGES / own) for path in folder.glob("*.*")}

    @app.get("/", include_in_schema=False)
    @app.get("/{name}", include_in_schema=False)
    async def page(name: str = "index.html") -> FileResponse:
        if name not in files:
            raise HTTPException(404, f"there is no {name} here; the page is at /")
        return FileResponse(files[name])
