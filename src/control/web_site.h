#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>

#include "rpc/http.h"

namespace vitrail::control {

// A file of the web pages, as the build made it.
struct WebFile {
  std::string_view path;  // "/index.html", "/assets/index-4f1c.js"
  std::string_view content_type;
  std::string_view gzip;  // The content, compressed.
};

// The files of web/ that were built into this program; none when it was built without them.
std::span<const WebFile> built_web_files();

// Serves the web pages at "/". They bring everything they need, and may load nothing from elsewhere (their content
// security policy says so to the browser). Without files, "/" says how to build them.
//   Threads: any. `files` outlive it.
class WebSite {
 public:
  explicit WebSite(std::span<const WebFile> files);
  // Before http.start(). This object outlives the server.
  void register_pages(rpc::HttpServer& http) const;
  rpc::HttpResponse answer(const rpc::HttpRequest& request) const;

 private:
  struct Entry {
    const WebFile* file;
    std::string tag;    // For If-None-Match.
    std::string plain;  // For clients that do not take gzip.
  };
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace vitrail::control
