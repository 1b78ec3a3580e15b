#include "rpc/query_pages.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

#include "base/text.h"

namespace vitrail::rpc {
namespace {

using namespace std::chrono_literals;

std::string page(const std::string& title, const std::string& head, const std::string& rows) {
  return fmt::format(
      "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>{0}</title>\n<style>body{{font-family:sans-serif;"
      "margin:1em 2em}}table{{border-collapse:collapse}}td,th{{border:1px solid #bbb;padding:.2em "
      ".6em;text-align:left}}"
      "</style></head><body>\n<h1>{0}</h1>\n<table><tr>{1}</tr>\n{2}</table></body></html>\n",
      title, head, rows);
}

HttpResponse query_page(const HttpRequest& request, std::vector<QueryUse> uses) {
  const auto limit = number_of(request, "limit", 500, 100'000);
  if (!limit.ok()) return HttpResponse::error(limit.error());
  std::ranges::sort(uses, [](const QueryUse& a, const QueryUse& b) {
    return a.count != b.count ? a.count > b.count : a.query < b.query;
  });
  if (uses.size() > *limit) uses.resize(*limit);
  std::string rows;
  for (const QueryUse& use : uses) {
    rows += fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n", html_escape(use.query),
                        html_escape(use.where), html_escape(use.plan), use.count);
  }
  return HttpResponse::html(page("Statements", "<th>query</th><th>where</th><th>plan</th><th>count</th>", rows));
}

HttpResponse log_page(const HttpRequest& request, base::QueryLog& log) {
  const auto seconds = number_of(request, "timeout", 10, 60);
  if (!seconds.ok()) return HttpResponse::error(seconds.error());
  const auto limit = number_of(request, "limit", 300, 10'000);
  if (!limit.ok()) return HttpResponse::error(limit.error());
  auto listener = log.listen();
  if (!listener.ok()) return HttpResponse::error(listener.error());
  const auto end = base::system_clock().now() + std::chrono::seconds(*seconds);
  std::string rows;
  for (uint64_t count = 0; count < *limit; ++count) {
    const auto line = (*listener)->next(std::max<base::Duration>(end - base::system_clock().now(), 0s));
    if (!line) break;
    rows += "<tr>";
    std::string_view rest = *line;
    if (rest.ends_with('\n')) rest.remove_suffix(1);
    for (const std::string_view cell : base::split(rest, '\t')) rows += "<td>" + html_escape(cell) + "</td>";
    rows += "</tr>\n";
  }
  return HttpResponse::html(page("Statements as they run",
                                 "<th>begun</th><th>seconds</th><th>user</th><th>target</th><th>statement</th>"
                                 "<th>outcome</th>",
                                 rows));
}

}  // namespace

Result<uint64_t> number_of(const HttpRequest& request, const std::string& name, uint64_t otherwise, uint64_t most) {
  const auto found = request.query.find(name);
  if (found == request.query.end()) return otherwise;
  uint64_t value = 0;
  const char* end = found->second.data() + found->second.size();
  const auto parsed = std::from_chars(found->second.data(), end, value);
  if (parsed.ec != std::errc() || parsed.ptr != end || value == 0 || value > most) {
    return fail(Code::kInvalidArgument, fmt::format("{}={}: give a number from 1 to {}", name, found->second, most));
  }
  return value;
}

void add_query_pages(HttpServer& http, base::QueryLog& log, std::function<std::vector<QueryUse>()> uses) {
  http.handle("/queryz", [uses = std::move(uses)](const HttpRequest& request) { return query_page(request, uses()); });
  http.handle("/querylogz", [&log](const HttpRequest& request) { return log_page(request, log); });
  http.handle("/debug/querylog", [&log](const HttpRequest&) {
    auto listener = log.listen();
    if (!listener.ok()) return HttpResponse::error(listener.error());
    HttpResponse response;
    response.more = [lines = std::shared_ptr<base::QueryLog::Listener>(std::move(*listener))] {
      return std::optional(lines->next(1s).value_or(""));
    };
    return response;
  });
}

}  // namespace vitrail::rpc
