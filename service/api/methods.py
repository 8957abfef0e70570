"""Which methods a path of the framework takes: HEAD wherever GET, and OPTIONS everywhere."""

from collections.abc import Sequence

from starlette.routing import BaseRoute, Match

from service.api.middleware import PROBLEM, Application, Receive, Scope, Send, send_response
from service.api.policy.request_policy import RequestPolicy

_ALL_METHODS = "GET, HEAD, POST"
_NO_CONTENT = 204


class AllowedMethods:
    """The routes of an application, and the methods that each path of them takes."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        """Take the routes.

        Args:
            routes: Those of the routers that the application includes.
        """
        self._routes = tuple(routes)

    def of(self, scope: Scope) -> list[str]:
        """List the methods that a request's path takes; none where it does not exist."""
        methods: set[str] = set()
        for route in self.matching(scope):
            methods |= getattr(route, "methods", None) or set()
        return sorted(methods | {"HEAD"} if "GET" in methods else methods)

    def matching(self, scope: Scope) -> list[BaseRoute]:
        """List the routes at a request's path, whatever its method."""
        return [route for route in self._routes if route.matches(scope)[0] is not Match.NONE]


class MethodMiddleware:
    """Answers HEAD as GET, and OPTIONS with the methods of the path."""

    def __init__(self, app: Application, allowed: AllowedMethods, policy: RequestPolicy) -> None:
        """Wrap an application.

        Args:
            app: Handles every other method.
            allowed: The methods of its paths.
            policy: Knows what pages of other origins may send.
        """
        self._app = app
        self._allowed = allowed
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        method = scope.get("method")
        if method == "OPTIONS":
            await self._answer_options(scope, send)
        elif method == "HEAD" and self._takes_get_alone(scope):
            # The body is dropped at the outermost application, which HEAD is still the method of.
            inner = {**scope, "method": "GET"}
            await self._app(inner, receive, send)
            scope.update({key: inner[key] for key in ("route", PROBLEM) if key in inner})
        else:
            await self._app(scope, receive, send)

    def _takes_get_alone(self, scope: Scope) -> bool:
        methods = [getattr(route, "methods", None) for route in self._allowed.matching(scope)]
        return any(each and "GET" in each and "HEAD" not in each for each in methods)

    async def _answer_options(self, scope: Scope, send: Send) -> None:
        methods = ", ".join(self._allowed.of(scope))
        if (routes := self._allowed.matching(scope)) and hasattr(routes[0], "path"):
            scope["route"] = routes[0]
        # A page that may ask at all is told by the answer to its request that the path is missing.
        asked = self._policy.cross_origin.preflight_headers(
            dict(scope["headers"]), methods or _ALL_METHODS
        )
        await send_response(
            send, _NO_CONTENT, [(b"allow", (methods or _ALL_METHODS).encode()), *asked], b""
        )
