#include "control/workflow/foreign_schema.h"

#include <gtest/gtest.h>

namespace vitrail::control {
namespace {

TEST(ForeignSchema, CollationsHaveCounterparts) {
  const struct {
    const char *mysql, *mariadb;
  } cases[] = {
      {"utf8mb4_0900_ai_ci", "utf8mb4_uca1400_nopad_ai_ci"},
      {"utf8mb4_0900_as_ci", "utf8mb4_uca1400_nopad_as_ci"},
      {"utf8mb4_0900_as_cs", "utf8mb4_uca1400_nopad_as_cs"},
      {"utf8mb4_0900_bin", "utf8mb4_nopad_bin"},
      {"utf8mb4_de_pb_0900_ai_ci", "utf8mb4_uca1400_german2_nopad_ai_ci"},
      {"utf8mb4_es_0900_as_cs", "utf8mb4_uca1400_spanish_nopad_as_cs"},
      {"utf8mb4_es_trad_0900_ai_ci", "utf8mb4_uca1400_spanish2_nopad_ai_ci"},
      {"utf8mb4_vi_0900_as_cs", "utf8mb4_uca1400_vietnamese_nopad_as_cs"},
  };
  for (const auto& [mysql, mariadb] : cases) {
    const std::string head = "CREATE TABLE `t` (`a` varchar(9)) DEFAULT CHARSET=utf8mb4 COLLATE=";
    EXPECT_EQ(with_other_collations(head + mysql), head + mariadb);
    EXPECT_EQ(with_other_collations(head + mariadb), head + mysql);
  }
  EXPECT_EQ(with_other_collations("COLLATE utf8mb4_uca1400_ai_ci"), "COLLATE utf8mb4_0900_ai_ci");
}

TEST(ForeignSchema, LeavesTheRestAlone) {
  const char* create =
      "CREATE TABLE `utf8mb4_0900_ai_ci` (`a` varchar(9) COLLATE utf8mb4_0900_as_cs DEFAULT 'it\\'s "
      "utf8mb4_0900_ai_ci',\n"
      "  `b` text COLLATE utf8mb4_bin COMMENT 'don''t: utf8mb4_0900_ai_ci') COLLATE=utf8mb4_0900_ai_ci";
  EXPECT_EQ(with_other_collations(create),
            "CREATE TABLE `utf8mb4_0900_ai_ci` (`a` varchar(9) COLLATE utf8mb4_uca1400_nopad_as_cs DEFAULT "
            "'it\\'s utf8mb4_0900_ai_ci',\n"
            "  `b` text COLLATE utf8mb4_bin COMMENT 'don''t: utf8mb4_0900_ai_ci') COLLATE=utf8mb4_uca1400_nopad_ai_ci");
  for (const char* same : {"CREATE TABLE t (a int)", "COLLATE=utf8mb4_general_ci", "", "'utf8mb4_0900_ai_ci", "`",
                           "COLLATE utf8mb4_0900_ai_ci_x COLLATE utf8mb4_ja_0900_as_cs"}) {
    EXPECT_EQ(with_other_collations(same), std::nullopt) << same;
  }
}

}  // namespace
}  // namespace vitrail::control
