#include "mysql/data_port.h"

#include <array>
#include <optional>

#include "mysql/convert.h"

namespace vitrail::mysql {
namespace {

constexpr std::array<std::string_view, 5> kIsolations = {"", "read uncommitted", "read committed", "repeatable read",
                                                         "serializable"};
constexpr std::array<std::string_view, 3> kAccesses = {"", "read only", "read write"};
constexpr std::string_view kSnapshot = "snapshot";

// Calls `take` with each piece between commas.
template <typename Take>
void split(std::string_view text, Take take) {
  while (!text.empty()) {
    const size_t comma = text.find(',');
    take(text.substr(0, comma));
    if (comma == std::string_view::npos) return;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace

std::string TransactionOptions::to_text() const {
  std::string out;
  const auto add = [&](std::string_view word) {
    if (word.empty()) return;
    if (!out.empty()) out += ',';
    out += word;
  };
  add(kIsolations[static_cast<size_t>(isolation)]);
  add(kAccesses[static_cast<size_t>(access)]);
  if (consistent_snapshot) add(kSnapshot);
  return out;
}

Result<TransactionOptions> TransactionOptions::parse(std::string_view text) {
  TransactionOptions options;
  if (text == "1") return options;
  std::optional<Error> error;
  split(text, [&](std::string_view word) {
    for (size_t i = 1; i < kIsolations.size(); ++i) {
      if (word == kIsolations[i]) {
        options.isolation = static_cast<Isolation>(i);
        return;
      }
    }
    for (size_t i = 1; i < kAccesses.size(); ++i) {
      if (word == kAccesses[i]) {
        options.access = static_cast<Access>(i);
        return;
      }
    }
    if (word == kSnapshot) {
      options.consistent_snapshot = true;
      return;
    }
    error = fail(Code::kInvalidArgument, "unknown way to begin a transaction: '" + std::string(word) + "'");
  });
  if (error) return std::move(*error);
  return options;
}

std::vector<std::string> TransactionOptions::statements() const {
  std::vector<std::string> out;
  if (isolation != Isolation::kSession) {
    out.push_back("set transaction isolation level " + std::string(kIsolations[static_cast<size_t>(isolation)]));
  }
  std::string begin = "start transaction";
  if (consistent_snapshot) begin += " with consistent snapshot";
  if (access != Access::kSession) {
    begin += consistent_snapshot ? ", " : " ";
    begin += kAccesses[static_cast<size_t>(access)];
  }
  out.push_back(std::move(begin));
  return out;
}

std::string TransactionOptions::set_statement() const {
  std::string out = "set transaction";
  if (isolation != Isolation::kSession) {
    out += " isolation level " + std::string(kIsolations[static_cast<size_t>(isolation)]);
  }
  if (access != Access::kSession) {
    out += isolation != Isolation::kSession ? ", " : " ";
    out += kAccesses[static_cast<size_t>(access)];
  }
  return out;
}

std::string savepoint_statement(std::string_view name) {
  std::string statement = "savepoint ";
  append_sql_identifier(statement, name);
  return statement;
}

}  // namespace vitrail::mysql
