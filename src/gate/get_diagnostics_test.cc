#include "gate/get_diagnostics.h"

#include <gtest/gtest.h>

namespace vitrail::gate {
namespace {

std::string told(std::string_view text) {
  const std::array<std::string, 3> conditions[] = {{"Warning", "1265", "Data truncated"},
                                                   {"Error", "1062", "Duplicate entry"}};
  const Diagnostics diagnostics{.conditions = conditions, .row_count = -1, .variable = [](const std::string& name) {
                                  return name == "two" ? mysql::Value::of_int(2) : mysql::Value::null();
                                }};
  const auto result = get_diagnostics(text, diagnostics);
  if (!result) return "something else";
  if (!result->ok()) return std::to_string(result->error().mysql_errno());
  std::string out;
  for (const auto& [name, value] : **result) {
    const bool number = mysql::is_integer_type(value.type);
    out += name + "=" + (number ? value.bytes : "'" + value.bytes + "'") + " ";
  }
  return out;
}

TEST(GetDiagnostics, TellsWhatTheSessionKnows) {
  const std::pair<const char*, const char*> cases[] = {
      {"get diagnostics @n = number, @R = row_count", "n=2 r=-1 "},
      {"GET CURRENT DIAGNOSTICS CONDITION 1 @c = MYSQL_ERRNO, @m = message_text", "c=1265 m='Data truncated' "},
      {"get diagnostics condition 2 @s = returned_sqlstate, @`a b` = class_origin, @t = table_name",
       "s='23000' a b='ISO 9075' t='' "},
      {"get diagnostics condition @two @c = mysql_errno;", "c=1062 "},
      {"get diagnostics condition 3 @c = mysql_errno", "1758"},
      {"get diagnostics condition 0 @c = mysql_errno", "1758"},
      {"get diagnostics condition @nosuch @c = mysql_errno", "1758"},
      {"get diagnostics condition 'x' @c = mysql_errno", "1758"},
      {"get diagnostics condition '2' @c = mysql_errno", "c=1062 "},
      {"get diagnostics condition -1 @c = mysql_errno", "1064"},
      {"get diagnostics condition nosuch @c = mysql_errno", "1064"},
      {"get stacked diagnostics @n = number", "1887"},
      {"get diagnostics @n = mysql_errno", "1064"},
      {"get diagnostics condition 1 @n = number", "1064"},
      {"get diagnostics @n number", "1064"},
      {"get diagnostics n = number", "1064"},
      {"get diagnostics @n = number,", "1064"},
      {"get lock", "something else"},
      {"select 1", "something else"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(told(text), expected) << text;
}

}  // namespace
}  // namespace vitrail::gate
