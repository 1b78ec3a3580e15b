#include "control/web_site.h"

#include <fmt/core.h>
#include <zlib.h>

#include "base/check.h"

namespace vitrail::control {
namespace {

constexpr std::string_view kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri "
    "'none'; "
    "form-action 'none'; frame-ancestors 'none'";

std::string gunzip(std::string_view data) {
  z_stream stream{};
  CHECK(inflateInit2(&stream, 15 + 16) == Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<uInt>(data.size());
  std::string out;
  int state = Z_OK;
  while (state == Z_OK) {
    char buffer[16'384];
    stream.next_out = reinterpret_cast<Bytef*>(buffer);
    stream.avail_out = sizeof buffer;
    state = inflate(&stream, Z_NO_FLUSH);
    out.append(buffer, sizeof buffer - stream.avail_out);
  }
  inflateEnd(&stream);
  CHECK(state == Z_STREAM_END);  // The build made it.
  return out;
}

std::string_view header(const rpc::HttpRequest& request, const std::string& name) {
  const auto found = request.headers.find(name);
  return found == request.headers.end() ? std::string_view() : found->second;
}

constexpr std::string_view kNoPages =
    "This vtctld was built without its web pages: the build could not get their parts from the npm registry.\n"
    "Run ./dev build again where the registry can be reached. Commands and the API (/api/) work without them;\n"
    "/debug/status tells about this process.\n";

}  // namespace

WebSite::WebSite(std::span<const WebFile> files) {
  for (const WebFile& file : files) {
    std::string plain = gunzip(file.gzip);
    std::string tag = fmt::format(
        "\"{:08x}-{}\"", crc32(0, reinterpret_cast<const Bytef*>(plain.data()), static_cast<uInt>(plain.size())),
        plain.size());
    entries_.emplace(std::string(file.path), Entry{&file, std::move(tag), std::move(plain)});
  }
}

void WebSite::register_pages(rpc::HttpServer& http) const {
  const auto here = [this](const rpc::HttpRequest& request) { return answer(request); };
  http.handle("/", here);
  for (const auto& [path, entry] : entries_) http.handle(path, here);
  // Where older versions had their pages.
  for (const char* old : {"/app", "/app/", "/app2", "/app2/"}) {
    http.handle(old, [](const rpc::HttpRequest&) { return rpc::HttpResponse::redirect("/"); });
  }
}

rpc::HttpResponse WebSite::answer(const rpc::HttpRequest& request) const {
  if (request.method != "GET" && request.method != "HEAD") {
    return {.status = 405, .body = "this can only be read\n", .headers = {{"Allow", "GET"}}};
  }
  const auto found = entries_.find(request.path == "/" ? "/index.html" : request.path);
  if (found == entries_.end()) {
    if (request.path == "/") return {.status = 503, .body = std::string(kNoPages)};
    return rpc::HttpResponse::error(fail(Code::kNotFound, "no such page: " + request.path));
  }
  const Entry& entry = found->second;
  // Names below assets/ change with their content; the page itself is asked for each time.
  const bool lasting = entry.file->path.starts_with("/assets/");
  rpc::HttpResponse out{.content_type = std::string(entry.file->content_type),
                        .headers = {{"ETag", entry.tag},
                                    {"Cache-Control", lasting ? "public, max-age=31536000, immutable" : "no-cache"},
                                    {"Content-Security-Policy", std::string(kPolicy)},
                                    {"Referrer-Policy", "no-referrer"},
                                    {"X-Frame-Options", "DENY"},
                                    {"Vary", "Accept-Encoding"}}};
  if (header(request, "if-none-match").find(entry.tag) != std::string_view::npos) {
    out.status = 304;
    return out;
  }
  if (header(request, "accept-encoding").find("gzip") != std::string_view::npos) {
    out.headers["Content-Encoding"] = "gzip";
    out.body = entry.file->gzip;
  } else {
    out.body = entry.plain;
  }
  return out;
}

}  // namespace vitrail::control
