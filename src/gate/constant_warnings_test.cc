#include "gate/constant_warnings.h"

#include <gtest/gtest.h>

#include "sql/parser.h"

namespace vitrail::gate {
namespace {

std::string texts(std::string_view statement, std::vector<mysql::Value> parameters = {}) {
  const auto ast = sql::parse(statement);
  if (!ast.ok()) return ast.error().message();
  std::string out;
  for (const auto& text : compared_texts(ast->statement(), parameters)) out += text + " ";
  return out;
}

TEST(ConstantWarnings, TextsBesideColumns) {
  EXPECT_EQ(texts("delete from t where id = '2x'"), "2x ");
  EXPECT_EQ(texts("select * from t where id in ('1x', 2, '3x') and '4x' < v and v between '5x' and '6x'"),
            "1x 3x 4x 5x 6x ");
  EXPECT_EQ(texts("select v + '2x' from t where concat(id) = '3x' and id = id + '4x'"), "");
  EXPECT_EQ(texts("select '2x' + v from t where id = '2x'"), "");
  EXPECT_EQ(texts("delete from t where id = ? and v = ?", {mysql::Value::of_text("2x"), mysql::Value::null()}), "2x ");
}

TEST(ConstantWarnings, AreToldOnce) {
  const WarningRow text = {"Warning", "1292", "Truncated incorrect DECIMAL value: '2x'"};
  const WarningRow other = {"Warning", "1292", "Truncated incorrect DOUBLE value: 'x'"};
  const WarningRow row = {"Warning", "1365", "Division by 0"};
  std::vector<WarningRow> rows = {text, row, other, row, text, other};
  unite_constant_warnings({"2x"}, rows);
  EXPECT_EQ(rows, (std::vector<WarningRow>{text, row, other, row, other}));
}

}  // namespace
}  // namespace vitrail::gate
