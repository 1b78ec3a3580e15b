#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

// Requests by HTTP/1.1 (libcurl), each on a connection of its own, through the proxy that http_proxy and https_proxy
// name. Blocking: for threads that carry bytes from disk to disk.
namespace vitrail::backup {

struct HttpEndpoint {
  std::string host;
  uint16_t port = 443;
  bool tls = true;
  bool skip_verify = false;
  base::Duration timeout = std::chrono::seconds(60);  // Of a connect, and without a byte.

  // "https://host:port", "http://host", "host". kInvalidArgument.
  static Result<HttpEndpoint> parse(std::string_view text);
  // As the header Host has it: without a usual port.
  std::string authority() const;
};

struct HttpRequest {
  std::string method = "GET";
  std::string target = "/";  // Path and query, encoded.
  std::vector<std::pair<std::string, std::string>> headers;
  std::string_view body;
};

// An answer whose body is still to be read.
class HttpAnswer {
 public:
  virtual ~HttpAnswer() = default;
  int status = 0;
  std::map<std::string, std::string> headers;  // Names in lower case.
  // 0 at the end of the body. kUnavailable: the connection ended before it, or stood still.
  virtual Result<size_t> read(std::span<char> buffer) = 0;
  // The whole rest, of at most `max` bytes.
  Result<std::string> read_all(size_t max);
};

//   kUnavailable: no connection, or no answer.
Result<std::unique_ptr<HttpAnswer>> http_exchange(const HttpEndpoint& endpoint, const HttpRequest& request);

}  // namespace vitrail::backup
