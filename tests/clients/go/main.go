// go-sql-driver by itself, and GORM over it: clients driver|interpolated|gorm PORT DATABASE. A step is a line of JSON.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

func say(step string, value any) {
	line, err := json.Marshal([]any{step, value})
	check(err)
	fmt.Println(string(line))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		panic(err)
	}
}

func main() {
	what, port, database := os.Args[1], os.Args[2], os.Args[3]
	address := fmt.Sprintf("demo@tcp(127.0.0.1:%s)/%s?charset=utf8mb4&parseTime=true", port, database)
	switch what {
	case "driver":
		driver(address)
	case "interpolated":
		driver(address + "&interpolateParams=true&multiStatements=true")
	case "gorm":
		orm(address)
	}
}
