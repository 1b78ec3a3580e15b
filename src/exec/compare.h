#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "mysql/types.h"
#include "plan/plan.h"

// Comparing values of rows as the servers compare them. Servers compute what is compared: numbers and times are their
// own text, texts are compared by their weights. What cannot be compared without risk is refused.
namespace vitrail::exec {

using Row = std::vector<std::optional<std::string>>;
// A row whose bytes are elsewhere.
using Cells = std::span<const mysql::Cell>;
// In `room`, which is overwritten.
Cells cells_of(const Row& row, std::vector<mysql::Cell>& room);

class KeyComparer {
 public:
  // `columns`: of the shards' rows; hidden ones begin at `hidden`. All must outlive the comparer.
  // `for_extremes`: for MIN and MAX, which take the members of an ENUM or SET as texts, while ORDER BY takes them as
  // numbers.
  KeyComparer(const plan::Merge::Key& key, const std::vector<mysql::ColumnDef>& columns, size_t hidden,
              bool for_extremes = false);

  // -1, 0, 1 in ascending order, NULL first.
  //   kUnimplemented  names the column.
  Result<int> compare(Cells a, Cells b) const;
  // Bytes that are the same for values that are equal, and for no others.
  Result<std::string> identity(Cells row) const;
  bool is_null(Cells row) const { return !row[place_]; }

 private:
  enum class Kind : uint8_t { kNumber, kDouble, kFloat, kFixed, kBit, kTime, kText, kMember, kAddress };
  Error refuse(const char* what) const;
  Result<std::string_view> weight_of(Cells row, std::string_view& blank) const;

  const mysql::ColumnDef& column_;
  size_t place_;
  std::optional<size_t> weight_;
  Kind kind_;
};

// What KeyComparer would refuse in the form in which these columns came, and the form that helps, by Key::ordinal.
// Empty: nothing. See plan::PlanContext::key_forms.
std::map<uint32_t, plan::KeyForm> refined_forms(const plan::Merge& merge, const std::vector<mysql::ColumnDef>& columns);

// Of an INET4 or INET6 in text form: bytes in the order in which MariaDB compares them. nullopt: it is none.
std::optional<std::string> address_bytes(std::string_view text);
// Of a TIME in text form ("-12:00:00.5"), in microseconds. nullopt: it is none.
std::optional<int64_t> time_value(std::string_view text);

}  // namespace vitrail::exec
