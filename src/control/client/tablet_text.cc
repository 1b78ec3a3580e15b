#include "control/client/tablet_text.h"

#include <fmt/core.h>

#include <algorithm>
#include <ctime>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "base/text.h"
#include "topo/tablet.h"
#include "vschema/proto_json.h"

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

constexpr size_t kWrapColumns = 28;

// The columns that a character takes on a terminal.
size_t columns_of(char32_t c) {
  if (c < 0x20 || (c >= 0x300 && c < 0x370) || c == 0x200b || (c >= 0xfe00 && c < 0xfe10)) return 0;
  const bool wide = (c >= 0x1100 && c < 0x1160) || (c >= 0x2e80 && c < 0xa4d0) || (c >= 0xac00 && c < 0xd7a4) ||
                    (c >= 0xf900 && c < 0xfb00) || (c >= 0xfe30 && c < 0xfe70) || (c >= 0xff00 && c < 0xff61) ||
                    (c >= 0x1f300 && c < 0x1f650) || (c >= 0x20000 && c < 0x30000);
  return wide ? 2 : 1;
}

size_t width_of(std::string_view text) {
  size_t width = 0;
  for (size_t i = 0; i < text.size();) {
    const auto first = static_cast<unsigned char>(text[i++]);
    char32_t c = first;
    int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : 0;
    if (more > 0) c = first & (0x3f >> more);
    for (; more > 0 && i < text.size() && (static_cast<unsigned char>(text[i]) & 0xc0) == 0x80; --more) {
      c = c << 6 | (static_cast<unsigned char>(text[i++]) & 0x3f);
    }
    width += columns_of(c);
  }
  return width;
}

// Breaks words into lines of at most kWrapColumns (or the longest word), so that the squares of what is missing on each
// line but the last add up to least; of equals, the one whose first line is shortest.
std::vector<std::string> wrap(const std::vector<std::string>& words) {
  size_t limit = kWrapColumns;
  std::vector<size_t> widths;
  for (const auto& word : words) {
    widths.push_back(width_of(word));
    limit = std::max(limit, widths.back());
  }
  const size_t n = words.size();
  std::vector<size_t> next(n + 1, n);
  std::vector<size_t> cost(n + 1, 0);
  for (size_t i = n; i-- > 0;) {
    bool known = false;
    size_t width = 0;
    for (size_t j = i + 1; j <= n; ++j) {
      width += widths[j - 1] + (j > i + 1 ? 1 : 0);
      if (width > limit) break;
      const size_t total = j == n ? 0 : (limit - width) * (limit - width) + cost[j];
      if (!known || total < cost[i] || j == n) {
        known = true;
        cost[i] = total;
        next[i] = j;
      }
    }
  }
  std::vector<std::string> lines;
  for (size_t i = 0; i < n; i = next[i]) {
    lines.push_back(base::join(std::span(words).subspan(i, next[i] - i), " "));
  }
  return lines;
}

// The lines of one cell: each line of the value, without blanks around words, broken where it is long.
std::vector<std::string> cell_lines(std::string_view value) {
  std::vector<std::string> out;
  std::vector<std::string> words(1);
  const auto end_line = [&] {
    if (words.back().empty()) words.pop_back();
    for (auto& line : wrap(words)) out.push_back(std::move(line));
    words.assign(1, "");
  };
  for (const char c : value) {
    if (c == '\n') {
      end_line();
    } else if (c == ' ' || (c >= '\t' && c <= '\r')) {
      if (!words.back().empty()) words.emplace_back();
    } else {
      words.back() += c;
    }
  }
  end_line();
  return out;
}

// The values of a row, NULL as nullopt.
std::vector<std::optional<std::string_view>> values_of(const ::query::Row& row) {
  std::vector<std::optional<std::string_view>> out;
  std::string_view values = row.values();
  for (const int64_t length : row.lengths()) {
    if (length < 0) {
      out.emplace_back();
      continue;
    }
    const size_t size = std::min(values.size(), static_cast<size_t>(length));
    out.emplace_back(values.substr(0, size));
    values.remove_prefix(size);
  }
  return out;
}

std::string indented(std::string_view text, size_t blanks) {
  std::string out;
  for (const char c : text) {
    out += c;
    if (c == '\n') out += std::string(blanks, ' ');
  }
  return out;
}

}  // namespace

std::string tags_text(const google::protobuf::Map<std::string, std::string>& tags) {
  std::string out;
  for (const auto& [name, value] : std::map<std::string, std::string>(tags.begin(), tags.end())) {
    out += fmt::format("{}{}: \"{}\"", out.empty() ? "" : " ", name, value);
  }
  return "[" + out + "]";
}

std::string tablet_line(const ::topodata::Tablet& tablet) {
  const auto port = tablet.port_map().find("vt");
  return fmt::format("{} {} {} {} {}:{} {}:{} {} {}\n", topo::alias_to_string(tablet.alias()), tablet.keyspace(),
                     tablet.shard(), topo::tablet_type_to_string(tablet.type()), tablet.hostname(),
                     port == tablet.port_map().end() ? 0 : port->second, tablet.mysql_hostname(), tablet.mysql_port(),
                     tags_text(tablet.tags()),
                     tablet.has_primary_term_start_time() ? rfc3339(tablet.primary_term_start_time()) : "<null>");
}

std::string ascii_table(const ::query::QueryResult& result) {
  if (result.fields_size() == 0 || result.rows_size() == 0) return "";
  const auto columns = static_cast<size_t>(result.fields_size());
  std::vector<size_t> widths;
  for (const auto& field : result.fields()) widths.push_back(width_of(field.name()));
  std::vector<std::vector<std::vector<std::string>>> rows;  // Lines, by column, by row.
  for (const auto& row : result.rows()) {
    auto& cells = rows.emplace_back();
    for (const auto& value : values_of(row)) {
      if (cells.size() == columns) break;
      cells.push_back(cell_lines(value.value_or("")));
    }
    cells.resize(columns);
    for (size_t i = 0; i < columns; ++i) {
      for (const auto& line : cells[i]) widths[i] = std::max(widths[i], width_of(line));
    }
  }
  std::string rule = "+";
  for (const size_t width : widths) rule += std::string(width + 2, '-') + "+";
  rule += "\n";
  std::string out = rule + "|";
  for (size_t i = 0; i < columns; ++i) {
    const std::string& name = result.fields(static_cast<int>(i)).name();
    const size_t blanks = widths[i] - width_of(name);
    out += " " + std::string(blanks / 2, ' ') + name + std::string(blanks - blanks / 2, ' ') + " |";
  }
  out += "\n" + rule;
  for (const auto& cells : rows) {
    size_t height = 1;
    for (const auto& lines : cells) height = std::max(height, lines.size());
    for (size_t k = 0; k < height; ++k) {
      out += "|";
      for (size_t i = 0; i < columns; ++i) {
        const std::string text = k < cells[i].size() ? cells[i][k] : "";
        out += " " + text + std::string(widths[i] - width_of(text), ' ') + " |";
      }
      out += "\n";
    }
    out += rule;
  }
  return out;
}

Result<std::string> result_json(const ::query::QueryResult& result) {
  constexpr int kQuoted = 2048;  // A bit of query.Type.
  std::string fields;
  for (const auto& field : result.fields()) {
    const std::string json = vschema::to_json(field, {.unpopulated = false, .plain = true, .indent = 2});
    fields += (fields.empty() ? "[\n    " : ",\n    ") + indented(json, 4);
  }
  std::string rows;
  for (const auto& row : result.rows()) {
    rows += rows.empty() ? "[\n    [" : ",\n    [";
    const auto values = values_of(row);
    for (size_t i = 0; i < values.size(); ++i) {
      rows += i == 0 ? "\n      " : ",\n      ";
      const bool bare = i < static_cast<size_t>(result.fields_size()) &&
                        (static_cast<int>(result.fields(static_cast<int>(i)).type()) & kQuoted) == 0;
      rows += !values[i] ? "null"
              : bare     ? std::string(*values[i])
                         : vschema::escape_markup(base::json_string(*values[i]));
    }
    rows += "\n    ]";
  }
  return fmt::format(
      "{{\n  \"fields\": {},\n  \"rows_affected\": {},\n  \"insert_id\": {},\n  \"insert_id_changed\": {},\n"
      "  \"rows\": {},\n  \"session_state_changes\": {},\n  \"status_flags\": 0,\n  \"info\": {}\n}}\n",
      fields.empty() ? "null" : fields + "\n  ]", result.rows_affected(), result.insert_id(),
      result.insert_id_changed(), rows.empty() ? "[]" : rows + "\n  ]",
      base::json_string(result.session_state_changes()), base::json_string(result.info()));
}

std::string event_line(const ::logutil::Event& event) {
  const std::time_t seconds = event.time().seconds();
  std::tm parts{};
  ::localtime_r(&seconds, &parts);
  return fmt::format("{}{:02}{:02} {:02}:{:02}:{:02}.{:06} {}:{}] {}\n", "IWE"[event.level() % 3], parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, event.time().nanoseconds() / 1000,
                     event.file(), event.line(), event.value());
}

}  // namespace vitrail::control
