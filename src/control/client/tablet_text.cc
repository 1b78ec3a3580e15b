#include "control/client/tablet_text.h"

#include <fmt/core.h>

#include <algorithm>
#include <ctime>
#include <map>
#include <vector>

#include "topo/tablet.h"

namespace vitrail::control {
namespace {

std::string rfc3339(const ::vttime::Time& time) {
  const std::time_t seconds = time.seconds();
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

}  // namespace

std::string tablet_line(const ::topodata::Tablet& tablet) {
  std::string tags;
  for (const auto& [name, value] : std::map<std::string, std::string>(tablet.tags().begin(), tablet.tags().end()))
    tags += fmt::format("{}{}: \"{}\"", tags.empty() ? "" : " ", name, value);
  const auto port = tablet.port_map().find("vt");
  return fmt::format("{} {} {} {} {}:{} {}:{} [{}] {}\n", topo::alias_to_string(tablet.alias()), tablet.keyspace(),
                     tablet.shard(), topo::tablet_type_to_string(tablet.type()), tablet.hostname(),
                     port == tablet.port_map().end() ? 0 : port->second, tablet.mysql_hostname(), tablet.mysql_port(),
                     tags, tablet.has_primary_term_start_time() ? rfc3339(tablet.primary_term_start_time()) : "<null>");
}

std::string ascii_table(const ::query::QueryResult& result) {
  if (result.fields_size() == 0) return "";
  std::vector<std::vector<std::string>> cells(1);
  for (const auto& field : result.fields()) cells[0].push_back(field.name());
  for (const auto& row : result.rows()) {
    auto& line = cells.emplace_back();
    std::string_view values = row.values();
    for (const int64_t length : row.lengths()) {
      if (length < 0) {
        line.emplace_back("NULL");
        continue;
      }
      line.emplace_back(values.substr(0, static_cast<size_t>(length)));
      values.remove_prefix(std::min(values.size(), static_cast<size_t>(length)));
    }
  }
  std::vector<size_t> widths(cells[0].size(), 0);
  for (const auto& line : cells) {
    for (size_t i = 0; i < line.size() && i < widths.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  }
  std::string rule = "+";
  for (const size_t width : widths) rule += std::string(width + 2, '-') + "+";
  std::string out = rule + "\n";
  for (size_t i = 0; i < cells.size(); ++i) {
    out += "|";
    for (size_t j = 0; j < widths.size(); ++j) {
      const std::string text = j < cells[i].size() ? cells[i][j] : "";
      out += " " + text + std::string(widths[j] - text.size(), ' ') + " |";
    }
    out += "\n";
    if (i == 0) out += rule + "\n";
  }
  return out + rule + "\n";
}

}  // namespace vitrail::control
