// Command notes is a PocketBase app written in Go: its own program around the
// framework, with its schema in code and one route of its own.
package main

import (
	"log"
	"net/http"
	"os"

	"github.com/pocketbase/pocketbase"
	"github.com/pocketbase/pocketbase/apis"
	"github.com/pocketbase/pocketbase/core"
	"github.com/pocketbase/pocketbase/tools/hook"

	// The migrations register themselves; `serve` applies the pending ones.
	_ "notes/migrations"
)

// version is what the summary reports, so that one can see from outside which
// release answers.
const version = "1.0.0"

type summary struct {
	Notes   int64  `json:"notes"`
	Open    int64  `json:"open"`
	Done    int64  `json:"done"`
	Version string `json:"version"`
}

func main() {
	app := pocketbase.New()

	app.OnServe().BindFunc(func(e *core.ServeEvent) error {
		e.Router.GET("/api/notes/summary", handleSummary)
		return e.Next()
	})

	// The built frontend. Bound last (the highest number runs last), so that a
	// catch-all route that another hook brings wins over the files.
	app.OnServe().Bind(&hook.Handler[*core.ServeEvent]{
		Priority: 999,
		Func: func(e *core.ServeEvent) error {
			if !e.Router.HasRoute(http.MethodGet, "/{path...}") {
				// An unknown path gets index.html: the frontend owns its URLs.
				e.Router.GET("/{path...}", apis.Static(os.DirFS("pb_public"), true))
			}
			return e.Next()
		},
	})

	if err := app.Start(); err != nil {
		log.Fatal(err)
	}
}

func handleSummary(e *core.RequestEvent) error {
	var count summary
	// One statement, so that the three numbers are of one moment and add up.
	err := e.App.DB().
		Select("COUNT(*) AS notes", "COALESCE(SUM(done), 0) AS done").
		From("notes").
		One(&count)
	if err != nil {
		return e.InternalServerError("The notes could not be counted.", err)
	}

	count.Open = count.Notes - count.Done
	count.Version = version

	return e.JSON(http.StatusOK, count)
}
