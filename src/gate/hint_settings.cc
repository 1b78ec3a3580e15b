#include "gate/hint_settings.h"

#include <cctype>

#include "base/text.h"
#include "gate/session.h"

namespace vitrail::gate {
namespace {

// Reads one hint's inside: "name = value)". Moves `at` behind it.
class Reader {
 public:
  Reader(std::string_view text, size_t at) : text_(text), at_(at) {}

  std::string word() {
    skip_blanks();
    const size_t begin = at_;
    while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '_')) ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }
  bool take(char c) {
    skip_blanks();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  // A number, a word, or a string without quotes and backslashes in it; "" for anything else.
  std::string value() {
    skip_blanks();
    const size_t begin = at_;
    if (at_ < text_.size() && (text_[at_] == '\'' || text_[at_] == '"')) {
      const char quote = text_[at_];
      const size_t end = text_.find(quote, at_ + 1);
      if (end == std::string_view::npos) return "";
      at_ = end + 1;
      const std::string_view inside = text_.substr(begin + 1, end - begin - 1);
      if (inside.find_first_of("'\"\\") != std::string_view::npos) return "";
      return "'" + std::string(inside) + "'";
    }
    while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '_' ||
                                  text_[at_] == '.' || text_[at_] == '-' || text_[at_] == '+')) {
      ++at_;
    }
    return std::string(text_.substr(begin, at_ - begin));
  }

 private:
  void skip_blanks() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
  }
  std::string_view text_;
  size_t at_;
};

}  // namespace

std::vector<std::pair<std::string, std::string>> set_var_hints(std::string_view statement) {
  std::vector<std::pair<std::string, std::string>> out;
  constexpr std::string_view kName = "set_var";
  const size_t begin = statement.find("/*+");
  if (begin == std::string_view::npos) return out;
  const std::string_view hints = statement.substr(begin, statement.find("*/", begin) - begin);
  const std::string lower = base::to_lower(hints);
  for (size_t at = lower.find(kName); at != std::string::npos; at = lower.find(kName, at + 1)) {
    Reader reader(hints, at + kName.size());
    if (!reader.take('(')) continue;
    std::string name = base::to_lower(reader.word());
    if (name.empty() || !reader.take('=')) continue;
    std::string value = reader.value();
    if (!value.empty() && reader.take(')')) out.emplace_back(std::move(name), std::move(value));
  }
  return out;
}

// As if SET came before the statement and was undone behind it. What cannot be set so is left out, as in MySQL.
net::Task<RunResult> ClientSession::run_with_hints(const Statement& statement,
                                                   std::vector<std::pair<std::string, std::string>> hints) {
  const SessionSettings before = settings_;
  std::vector<std::string> left_out;
  for (auto& [written, value] : hints) {
    std::string name = SessionSettings::canonical(written);
    const bool mode_refused = name == "sql_mode" && value.size() > 1 && value.front() == '\'' &&
                              !check_sql_mode(std::string_view(value).substr(1, value.size() - 2)).ok();
    if (SessionSettings::kind_of(name) != SessionSettings::Kind::kServer || mode_refused) {
      left_out.push_back(written);
      continue;
    }
    settings_.set(std::move(name), std::move(value));
  }
  Status set = co_await apply_settings(before);
  if (!set.ok()) {  // A variable or a value that the server does not know.
    settings_ = before;
    settings_text_ = settings_.text();
    if (failed_ || state_lost_) co_return refused(std::move(set).error());
    left_out.clear();
    for (const auto& hint : hints) left_out.push_back(hint.first);
  }
  hinted_ = true;
  RunResult result = co_await run_once(statement);
  hinted_ = false;
  if (settings_ != before) {
    const SessionSettings hinted = std::exchange(settings_, before);
    // When that fails the connections that may have the hint's value are closed.
    (void)co_await apply_settings(hinted);
    settings_text_ = settings_.text();
  }
  for (const auto& name : left_out) {
    constexpr uint16_t kNotHintable = 4537;
    add_warning("Warning", kNotHintable, "Variable '" + name + "' cannot be set using SET_VAR hint.");
  }
  co_return result;
}

}  // namespace vitrail::gate
