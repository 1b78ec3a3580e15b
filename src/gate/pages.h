#pragma once

namespace vitrail::rpc {
class HttpServer;
}

namespace vitrail::gate {

class Gate;

// The pages of a vtgate (docs/operators/http.md). Before `http` is started; `gate` is started and outlives it.
void add_pages(rpc::HttpServer& http, Gate& gate);

}  // namespace vitrail::gate
