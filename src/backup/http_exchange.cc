#include "backup/http_exchange.h"

#include <curl/curl.h>
#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>

#include "base/text.h"

namespace vitrail::backup {
namespace {

constexpr size_t kHeldMax = 256 << 10;   // Of a body that is read piece by piece.
constexpr size_t kAnswerMax = 16 << 20;  // To a request that had a body itself.
constexpr int kLookMillis = 500;         // curl looks sooner at what happens on the connection.

struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
struct FreeEasy {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct FreeMulti {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};

// One request, and its connection, carried on by whoever reads the answer.
class Exchange final : public HttpAnswer {
 public:
  Exchange(HttpEndpoint endpoint, const HttpRequest& request)
      : endpoint_(std::move(endpoint)),
        sends_body_(request.method != "GET" && request.method != "HEAD"),
        multi_(curl_multi_init()),
        easy_(curl_easy_init()) {
    prepared_ = multi_ != nullptr && easy_ != nullptr && prepare(request) &&
                curl_multi_add_handle(multi_.get(), easy_.get()) == CURLM_OK;
  }
  ~Exchange() override {
    if (prepared_) curl_multi_remove_handle(multi_.get(), easy_.get());
  }

  // Until the answer's head is there. The request's body is looked at no longer than this takes.
  Status start() {
    if (!prepared_) return fail(Code::kResourceExhausted, "no request by HTTP can be made");
    while (!ended_ && (sends_body_ || held_.empty())) {
      if (paused_) return away("the answer is too long");
      RETURN_IF_ERROR(turn());
    }
    long code = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &code);
    status = static_cast<int>(code);
    return {};
  }

  Result<size_t> read(std::span<char> buffer) override {
    while (given_ == held_.size() && !ended_) {
      held_.clear();
      given_ = 0;
      if (std::exchange(paused_, false)) curl_easy_pause(easy_.get(), CURLPAUSE_CONT);
      if (held_.empty()) RETURN_IF_ERROR(turn());
    }
    RETURN_IF_ERROR(failed_);
    const size_t got = std::min(buffer.size(), held_.size() - given_);
    std::copy_n(held_.begin() + static_cast<std::ptrdiff_t>(given_), got, buffer.begin());
    given_ += got;
    return got;
  }

 private:
  Error away(std::string_view what) const {
    return fail(Code::kUnavailable, fmt::format("{}:{}: {}", endpoint_.host, endpoint_.port, what));
  }

  template <class Value>
  bool set(CURLoption option, Value value) {
    return curl_easy_setopt(easy_.get(), option, value) == CURLE_OK;
  }
  bool add_header(const std::string& line) {
    curl_slist* list = curl_slist_append(headers_list_.get(), line.c_str());
    if (list == nullptr) return false;
    if (headers_list_ == nullptr) headers_list_.reset(list);
    return true;
  }

  bool prepare(const HttpRequest& request) {
    for (const auto& [name, value] : request.headers) {
      if (!add_header(value.empty() ? name + ";" : name + ": " + value)) return false;
    }
    // What curl would say of its own accord.
    for (const char* left_out : {"Expect:", "Content-Type:", "Accept:"}) {
      if (!add_header(left_out)) return false;
    }
    const std::string url =
        fmt::format("{}://{}:{}{}", endpoint_.tls ? "https" : "http", endpoint_.host, endpoint_.port, request.target);
    const auto limit = std::chrono::ceil<std::chrono::seconds>(endpoint_.timeout);
    const long seconds = std::max<long>(1, static_cast<long>(limit.count()));
    const long verify = endpoint_.skip_verify ? 0 : 1;
    const bool here = endpoint_.host == "localhost" || endpoint_.host.starts_with("127.") || endpoint_.host == "[::1]";
    bool good = set(CURLOPT_URL, url.c_str()) && set(CURLOPT_PATH_AS_IS, 1L) &&
                set(CURLOPT_PROTOCOLS_STR, "http,https") && set(CURLOPT_HTTP_VERSION, long{CURL_HTTP_VERSION_1_1}) &&
                set(CURLOPT_HTTPHEADER, headers_list_.get()) && set(CURLOPT_NOSIGNAL, 1L) &&
                set(CURLOPT_CONNECTTIMEOUT, seconds) && set(CURLOPT_LOW_SPEED_LIMIT, 1L) &&
                set(CURLOPT_LOW_SPEED_TIME, seconds) && set(CURLOPT_ERRORBUFFER, trouble_) &&
                set(CURLOPT_SSLVERSION, long{CURL_SSLVERSION_TLSv1_2}) && set(CURLOPT_SSL_VERIFYPEER, verify) &&
                set(CURLOPT_SSL_VERIFYHOST, 2 * verify) && set(CURLOPT_WRITEFUNCTION, &Exchange::take) &&
                set(CURLOPT_WRITEDATA, this) && set(CURLOPT_HEADERFUNCTION, &Exchange::take_header) &&
                set(CURLOPT_HEADERDATA, this);
    if (here) good = good && set(CURLOPT_PROXY, "");
    if (request.method == "HEAD") good = good && set(CURLOPT_NOBODY, 1L);
    if (!sends_body_) return good;
    return good && set(CURLOPT_CUSTOMREQUEST, request.method.c_str()) &&
           set(CURLOPT_POSTFIELDS, request.body.empty() ? "" : request.body.data()) &&
           set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
  }

  std::string what_failed(CURLcode result) const {
    long number = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_OS_ERRNO, &number);
    if (result == CURLE_COULDNT_CONNECT && number != 0) return std::strerror(static_cast<int>(number));
    return trouble_[0] != '\0' ? trouble_ : curl_easy_strerror(result);
  }

  // Goes on with what can be done; waits where nothing can.
  Status turn() {
    int running = 0;
    if (curl_multi_perform(multi_.get(), &running) != CURLM_OK) return away("no memory");
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_.get(), &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      ended_ = true;
      const CURLcode result = message->data.result;
      if (result != CURLE_OK) failed_ = away(what_failed(result));
    }
    RETURN_IF_ERROR(failed_);
    if (!ended_ && held_.empty() && !paused_) curl_multi_poll(multi_.get(), nullptr, 0, kLookMillis, nullptr);
    return {};
  }

  static size_t take(const char* bytes, size_t one, size_t count, void* self) {
    auto& exchange = *static_cast<Exchange*>(self);
    if (exchange.held_.size() + count > (exchange.sends_body_ ? kAnswerMax : kHeldMax)) {
      exchange.paused_ = true;
      return CURL_WRITEFUNC_PAUSE;
    }
    exchange.held_.append(bytes, one * count);
    return one * count;
  }
  static size_t take_header(const char* bytes, size_t one, size_t count, void* self) {
    auto& headers = static_cast<Exchange*>(self)->headers;
    const std::string_view line(bytes, one * count);
    if (line.starts_with("HTTP/")) headers.clear();  // Of an intermediate answer.
    if (const size_t colon = line.find(':'); colon != std::string_view::npos) {
      headers[base::to_lower(base::trim(line.substr(0, colon)))] = base::trim(line.substr(colon + 1));
    }
    return line.size();
  }

  const HttpEndpoint endpoint_;
  const bool sends_body_;
  const std::unique_ptr<CURLM, FreeMulti> multi_;
  std::unique_ptr<curl_slist, FreeList> headers_list_;
  const std::unique_ptr<CURL, FreeEasy> easy_;
  char trouble_[CURL_ERROR_SIZE] = "";
  std::string held_;  // Of the body: come, and given up to given_.
  size_t given_ = 0;
  bool prepared_ = false, paused_ = false, ended_ = false;
  Status failed_;
};

}  // namespace

Result<HttpEndpoint> HttpEndpoint::parse(std::string_view text) {
  HttpEndpoint out;
  if (text.starts_with("http://")) {
    out.tls = false;
    out.port = 80;
    text.remove_prefix(7);
  } else if (text.starts_with("https://")) {
    text.remove_prefix(8);
  }
  while (text.ends_with('/')) text.remove_suffix(1);
  const size_t colon = text.rfind(':');
  if (colon != std::string_view::npos && !text.ends_with(']')) {
    const std::string_view port = text.substr(colon + 1);
    const auto parsed = std::from_chars(port.data(), port.data() + port.size(), out.port);
    if (parsed.ec != std::errc() || parsed.ptr != port.data() + port.size() || out.port == 0) {
      return fail(Code::kInvalidArgument, fmt::format("'{}' is not a port", port));
    }
    text = text.substr(0, colon);
  }
  out.host = text;
  if (out.host.empty() || out.host.find_first_of("/?#@ ") != std::string::npos) {
    return fail(Code::kInvalidArgument, fmt::format("'{}' is not a host: give https://host:port", out.host));
  }
  return out;
}

std::string HttpEndpoint::authority() const {
  return port == (tls ? 443 : 80) ? host : fmt::format("{}:{}", host, port);
}

Result<std::string> HttpAnswer::read_all(size_t max) {
  std::string out, buffer(16 << 10, '\0');
  for (;;) {
    ASSIGN_OR_RETURN(const size_t got, read(buffer));
    if (got == 0) return out;
    out.append(buffer, 0, got);
    if (out.size() > max) return fail(Code::kResourceExhausted, "the answer is too long");
  }
}

Result<std::unique_ptr<HttpAnswer>> http_exchange(const HttpEndpoint& endpoint, const HttpRequest& request) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (ready != CURLE_OK) return fail(Code::kInternal, curl_easy_strerror(ready));
  auto exchange = std::make_unique<Exchange>(endpoint, request);
  RETURN_IF_ERROR(exchange->start());
  return std::unique_ptr<HttpAnswer>(std::move(exchange));
}

}  // namespace vitrail::backup
