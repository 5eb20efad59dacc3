// Package migrations holds the app's schema, one file a step, in the order of
// their names.
package migrations

import (
	"github.com/pocketbase/pocketbase/core"
	m "github.com/pocketbase/pocketbase/migrations"
	"github.com/pocketbase/pocketbase/tools/types"
)

func init() {
	m.Register(createNotes, dropNotes)
}

func createNotes(app core.App) error {
	notes := core.NewBaseCollection("notes")

	// An empty rule lets everyone in (nil: superusers only). The example has no
	// accounts; an app with users would say `@request.auth.id != ""` here.
	everyone := types.Pointer("")
	notes.ListRule = everyone
	notes.ViewRule = everyone
	notes.CreateRule = everyone
	notes.UpdateRule = everyone
	notes.DeleteRule = everyone

	notes.Fields.Add(
		&core.TextField{Name: "text", Required: true, Max: 500},
		&core.BoolField{Name: "done"},
		&core.AutodateField{Name: "created", OnCreate: true},
		&core.AutodateField{Name: "updated", OnCreate: true, OnUpdate: true},
	)
	notes.AddIndex("idx_notes_created", false, "created", "")

	return app.Save(notes)
}

func dropNotes(app core.App) error {
	notes, err := app.FindCollectionByNameOrId("notes")
	if err != nil {
		return err
	}

	return app.Delete(notes)
}
