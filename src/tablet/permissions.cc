#include "tablet/permissions.h"

#include "base/text.h"

namespace vitrail::tablet {
namespace {

// CRC-64 with the ISO 3309 polynomial, reflected.
uint64_t crc64(std::string_view text) {
  constexpr uint64_t kPolynomial = 0xD800000000000000;
  uint64_t crc = ~uint64_t{0};
  for (const char c : text) {
    crc ^= static_cast<uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? (crc >> 1) ^ kPolynomial : crc >> 1;
  }
  return ~crc;
}

bool is_secret(std::string_view column) {
  return base::equals_ignoring_case(column, "password") || base::equals_ignoring_case(column, "authentication_string");
}

// Columns that differ between servers with equal accounts.
bool is_volatile(std::string_view column) {
  return base::equals_ignoring_case(column, "password_last_changed") ||
         base::equals_ignoring_case(column, "password_expired");
}

// What the columns without a field of their own say.
template <typename Map>
void fill_privileges(const net::QueryResult& result, size_t row, Map& privileges, std::string& secrets) {
  for (size_t i = 0; i < result.columns.size(); ++i) {
    const std::string& name = result.columns[i].name;
    if (base::equals_ignoring_case(name, "host") || base::equals_ignoring_case(name, "user") ||
        base::equals_ignoring_case(name, "db")) {
      continue;
    }
    if (is_secret(name))
      secrets += result.text(row, i);
    else if (!is_volatile(name))
      privileges[name] = std::string(result.text(row, i));
  }
}

std::string named(const net::QueryResult& result, size_t row, std::string_view column) {
  for (size_t i = 0; i < result.columns.size(); ++i) {
    if (base::equals_ignoring_case(result.columns[i].name, column)) return std::string(result.text(row, i));
  }
  return {};
}

}  // namespace

net::Task<Result<::tabletmanagerdata::Permissions>> read_permissions(LocalServer& server, net::Wait wait) {
  ::tabletmanagerdata::Permissions out;
  CO_ASSIGN_OR_RETURN(const auto users, co_await server.query("select * from mysql.user order by host, user", wait));
  for (size_t row = 0; row < users.rows.size(); ++row) {
    auto* user = out.add_user_permissions();
    user->set_host(named(users, row, "host"));
    user->set_user(named(users, row, "user"));
    std::string secrets;
    fill_privileges(users, row, *user->mutable_privileges(), secrets);
    user->set_password_checksum(crc64(secrets));
  }
  CO_ASSIGN_OR_RETURN(const auto databases,
                      co_await server.query("select * from mysql.db order by host, db, user", wait));
  for (size_t row = 0; row < databases.rows.size(); ++row) {
    auto* database = out.add_db_permissions();
    database->set_host(named(databases, row, "host"));
    database->set_db(named(databases, row, "db"));
    database->set_user(named(databases, row, "user"));
    std::string none;
    fill_privileges(databases, row, *database->mutable_privileges(), none);
  }
  co_return out;
}

}  // namespace vitrail::tablet
