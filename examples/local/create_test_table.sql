CREATE TABLE messages (
  page BIGINT UNSIGNED,
  time_created_ns BIGINT UNSIGNED,
  message VARCHAR(10000),
  PRIMARY KEY (page, time_created_ns)
) ENGINE=InnoDB
