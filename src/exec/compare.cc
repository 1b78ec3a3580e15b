#include "exec/compare.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "exec/number.h"

namespace vitrail::exec {
namespace {

constexpr uint8_t kNotFixed = 31;  // ColumnDef::decimals of a FLOAT or DOUBLE that is printed with all its digits.

int sign(auto ordering) { return ordering < 0 ? -1 : ordering > 0 ? 1 : 0; }

bool prints_all_digits(const mysql::ColumnDef& column) {
  return column.type == mysql::FieldType::kDouble && column.decimals >= kNotFixed;
}

std::optional<double> double_of(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// As if the shorter one went on with blanks.
int compare_padded(std::string_view a, std::string_view b, std::string_view blank) {
  const size_t common = std::min(a.size(), b.size());
  if (const int order = std::memcmp(a.data(), b.data(), common); order != 0) return order < 0 ? -1 : 1;
  const bool a_longer = a.size() > b.size();
  const std::string_view rest = (a_longer ? a : b).substr(common);
  if (rest.empty()) return 0;
  if (blank.empty()) return a_longer ? 1 : -1;
  for (size_t i = 0; i < rest.size(); ++i) {
    const auto x = static_cast<unsigned char>(rest[i]);
    const auto y = static_cast<unsigned char>(blank[(common + i) % blank.size()]);
    if (x != y) return (x > y) == a_longer ? 1 : -1;
  }
  return 0;
}

std::string_view without_blanks(std::string_view weight, std::string_view blank) {
  while (!blank.empty() && weight.ends_with(blank)) weight.remove_suffix(blank.size());
  return weight;
}

}  // namespace

Cells cells_of(const Row& row, std::vector<mysql::Cell>& room) {
  room.clear();
  for (const auto& cell : row) room.push_back(cell ? mysql::Cell(*cell) : mysql::Cell());
  return room;
}

KeyComparer::KeyComparer(const plan::Merge::Key& key, const std::vector<mysql::ColumnDef>& columns, size_t hidden,
                         bool for_extremes)
    : column_(columns[key.hidden ? hidden + key.column : key.column]),
      place_(key.hidden ? hidden + key.column : key.column) {
  if (key.weight) weight_ = hidden + *key.weight;
  using mysql::FieldType;
  if (mysql::is_integer_type(column_.type) || mysql::is_decimal_type(column_.type)) {
    kind_ = Kind::kNumber;
  } else if (mysql::is_float_type(column_.type)) {
    kind_ = prints_all_digits(column_) ? Kind::kDouble : Kind::kFloat;
  } else if (column_.type == FieldType::kTime) {
    kind_ = Kind::kTime;
  } else if (column_.type == FieldType::kBit) {
    kind_ = Kind::kBit;
  } else if (!mysql::is_string_type(column_.type)) {
    kind_ = Kind::kFixed;  // DATE, DATETIME, TIMESTAMP: of one width, most significant part first. Or always NULL.
  } else if ((column_.flags & (mysql::kFieldEnum | mysql::kFieldSet)) != 0) {
    kind_ = for_extremes ? Kind::kText : Kind::kMember;
  } else if (column_.type == FieldType::kString && (column_.flags & mysql::kFieldUnsigned) != 0) {
    kind_ = Kind::kAddress;
  } else {
    kind_ = Kind::kText;
  }
}

Error KeyComparer::refuse(const char* what) const {
  return fail(Code::kUnimplemented,
              std::string("VT12001: unsupported: ") + what + " of column " + column_.name + " over several shards");
}

Result<std::string_view> KeyComparer::weight_of(Cells row, std::string_view& blank) const {
  blank = {};
  if (!weight_) {
    // Without a weight only binary strings are what they look like.
    if (column_.collation != mysql::kBinaryCollation) return refuse("comparing texts");
    return *row[place_];
  }
  const auto& weight = row[*weight_];
  const auto& blanks = row[*weight_ + 1];
  if (!weight || !blanks) return refuse("comparing texts of this collation");
  blank = *blanks;
  if (!blank.empty() && weight->size() % blank.size() != 0) return refuse("comparing texts of this collation");
  return *weight;
}

Result<int> KeyComparer::compare(Cells a, Cells b) const {
  const auto& x = a[place_];
  const auto& y = b[place_];
  if (!x || !y) return x ? 1 : y ? -1 : 0;
  switch (kind_) {
    case Kind::kNumber: {
      const auto order = compare_decimals(*x, *y);
      if (!order) return refuse("comparing numbers");
      return sign(*order);
    }
    case Kind::kDouble:
    case Kind::kFloat: {
      const auto p = double_of(*x);
      const auto q = double_of(*y);
      if (!p || !q) return refuse("comparing numbers");
      return *p < *q ? -1 : *p > *q ? 1 : 0;
    }
    case Kind::kFixed: return sign(x->compare(*y) <=> 0);
    case Kind::kBit:
      if (x->size() != y->size()) return refuse("comparing BITs");
      return sign(x->compare(*y) <=> 0);
    case Kind::kTime: {
      const auto p = time_value(*x);
      const auto q = time_value(*y);
      if (!p || !q) return refuse("comparing times");
      return sign(*p <=> *q);
    }
    case Kind::kAddress: {
      const auto p = address_bytes(*x);
      const auto q = address_bytes(*y);
      if (!p || !q) return refuse("ordering by values");  // UUIDs: by rules that depend on the server's version.
      return sign(p->compare(*q) <=> 0);
    }
    case Kind::kMember: return refuse("ordering by an ENUM or SET");
    case Kind::kText: break;
  }
  std::string_view blank_a;
  std::string_view blank_b;
  ASSIGN_OR_RETURN(const std::string_view p, weight_of(a, blank_a));
  ASSIGN_OR_RETURN(const std::string_view q, weight_of(b, blank_b));
  if (blank_a != blank_b) return refuse("comparing texts of several collations");
  return compare_padded(p, q, blank_a);
}

Result<std::string> KeyComparer::identity(Cells row) const {
  const auto& cell = row[place_];
  if (!cell) return std::string();
  switch (kind_) {
    case Kind::kNumber: {
      auto plain = plain_decimal(*cell);
      if (!plain) return refuse("comparing numbers");
      return std::move(*plain);
    }
    case Kind::kDouble: {
      const auto number = double_of(*cell);
      if (!number) return refuse("comparing numbers");
      const double positive_zero = *number == 0 ? 0 : *number;
      std::string bytes(sizeof(double), '\0');
      std::memcpy(bytes.data(), &positive_zero, sizeof(double));
      return bytes;
    }
    case Kind::kFloat: return refuse("comparing FLOATs");
    case Kind::kFixed:
    case Kind::kBit: return std::string(*cell);
    case Kind::kTime: {
      const auto time = time_value(*cell);
      if (!time) return refuse("comparing times");
      return std::to_string(*time);
    }
    case Kind::kAddress:  // Always spelt in one way, as are members, which differ from each other.
    case Kind::kMember: return std::string(*cell);
    case Kind::kText: break;
  }
  std::string_view blank;
  ASSIGN_OR_RETURN(const std::string_view weight, weight_of(row, blank));
  return std::string(without_blanks(weight, blank));
}

std::map<uint32_t, plan::KeyForm> refined_forms(const plan::Merge& merge,
                                                const std::vector<mysql::ColumnDef>& columns) {
  std::map<uint32_t, plan::KeyForm> out;
  const size_t hidden = columns.size() - std::min<size_t>(merge.hidden_columns, columns.size());
  const auto look_at = [&](const std::vector<plan::Merge::Key>& keys, bool ordered) {
    for (const auto& key : keys) {
      if (!key.hidden || hidden + key.column >= columns.size()) continue;
      const auto& column = columns[hidden + key.column];
      if (ordered && (column.flags & (mysql::kFieldEnum | mysql::kFieldSet)) != 0) {
        out[key.ordinal] = plan::KeyForm::kNumber;
      } else if (mysql::is_float_type(column.type) && !prints_all_digits(column)) {
        out[key.ordinal] = plan::KeyForm::kDouble;
      }
    }
  };
  look_at(merge.group_by, false);
  look_at(merge.distinct_by, false);
  look_at(merge.order_by, true);
  return out;
}

std::optional<int64_t> time_value(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  int64_t parts[3] = {0, 0, 0};
  for (int i = 0; i < 3; ++i) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), parts[i]);
    if (error != std::errc()) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    if (i == 2) break;
    if (!text.starts_with(':')) return std::nullopt;
    text.remove_prefix(1);
  }
  int64_t fraction = 0;
  if (!text.empty()) {
    if (text[0] != '.' || text.size() > 7) return std::nullopt;
    std::string digits(text.substr(1));
    digits.resize(6, '0');
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), fraction);
    if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  }
  const int64_t value = ((parts[0] * 60 + parts[1]) * 60 + parts[2]) * 1'000'000 + fraction;
  return negative ? -value : value;
}

std::optional<std::string> address_bytes(std::string_view text) {
  const std::string copy(text);
  std::string bytes(16, '\0');
  if (inet_pton(AF_INET6, copy.c_str(), bytes.data()) == 1) return bytes;
  if (inet_pton(AF_INET, copy.c_str(), bytes.data()) == 1) return bytes.substr(0, 4);
  return std::nullopt;
}

}  // namespace vitrail::exec
