#include "exec/bind_variables.h"

#include <fmt/core.h>

#include "mysql/convert.h"
#include "sql/lexer.h"

namespace vitrail::exec {
namespace {

Result<mysql::Value> value_of(::query::Type type, const std::string& bytes) {
  using mysql::FieldType;
  switch (type) {
    case ::query::NULL_TYPE: return mysql::Value::null();
    case ::query::FLOAT32:
    case ::query::FLOAT64: return mysql::Value{FieldType::kDouble, false, false, bytes};
    case ::query::DECIMAL: return mysql::Value{FieldType::kNewDecimal, false, false, bytes};
    case ::query::TUPLE:
    case ::query::EXPRESSION:
    case ::query::HEXNUM:
    case ::query::HEXVAL:
      return fail(Code::kUnimplemented,
                  "a bind variable of type " + ::query::Type_Name(type) + " is not supported: send its value");
    default: break;
  }
  const auto has = [bits = static_cast<int>(type)](::query::Flag flag) { return (bits & flag) != 0; };
  if (has(::query::ISINTEGRAL)) return mysql::Value{FieldType::kLongLong, has(::query::ISUNSIGNED), false, bytes};
  return has(::query::ISBINARY) ? mysql::Value::of_binary(bytes) : mysql::Value::of_text(bytes);
}

}  // namespace

Status append_literal(std::string& out, ::query::Type type, const std::string& bytes) {
  ASSIGN_OR_RETURN(const mysql::Value value, value_of(type, bytes));
  mysql::append_sql_literal(out, value);
  return {};
}

Result<std::string> with_bind_variables(const std::string& sql,
                                        const google::protobuf::Map<std::string, ::query::BindVariable>& variables) {
  std::string out;
  size_t done = 0;
  sql::Lexer lexer(sql);
  for (sql::Token token = lexer.next(); token.type != sql::TokenType::kEnd && token.type != sql::TokenType::kError;
       token = lexer.next()) {
    const bool list = token.type == sql::TokenType::kBindList;
    if (!list && token.type != sql::TokenType::kBindVariable) continue;
    const std::string name(token.text(sql).substr(list ? 2 : 1));
    const auto found = variables.find(name);
    if (found == variables.end()) return fail(Code::kInvalidArgument, "missing bind var " + name);
    const ::query::BindVariable& variable = found->second;
    if (list != (variable.type() == ::query::TUPLE)) {
      return fail(Code::kInvalidArgument,
                  fmt::format("bind var {}: a list is written ::{}, a single value :{}", name, name, name));
    }
    out.append(sql, done, token.offset - done);
    done = token.end();
    if (!list) {
      RETURN_IF_ERROR(append_literal(out, variable.type(), variable.value()));
      continue;
    }
    if (variable.values().empty()) return fail(Code::kInvalidArgument, "bind var " + name + ": the list is empty");
    out += '(';
    for (int i = 0; i < variable.values_size(); ++i) {
      if (i > 0) out += ", ";
      RETURN_IF_ERROR(append_literal(out, variable.values(i).type(), variable.values(i).value()));
    }
    out += ')';
  }
  out.append(sql, done);
  return out;
}

}  // namespace vitrail::exec
