// Package kubernetes holds tests of the manifests beside it: that each decodes
// strictly into the API's types, that they fit together, and that keyhint runs as
// they say.
package kubernetes

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	strictyaml "sigs.k8s.io/yaml"
)

// decoder decodes what a cluster takes into its own types. An unknown or repeated
// field is an error.
var decoder = func() runtime.Decoder {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		appsv1.AddToScheme, autoscalingv2.AddToScheme, corev1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme, monitoringv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	return serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
}()

// decode decodes the documents of a file.
func decode(t *testing.T, name string, text []byte) []runtime.Object {
	t.Helper()
	var objects []runtime.Object
	documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		object, _, err := decoder.Decode(document, nil, nil)
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, document)
		}
		objects = append(objects, object)
	}
}

// Every manifest is of a type that the API has, with no field that it has not.
func TestManifestsDecodeStrictly(t *testing.T) {
	decoded := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yaml" || path == "example/keyhint.yaml" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		decoded++
		if d.Name() != "kustomization.yaml" {
			decode(t, path, text)
			return nil
		}
		var k types.Kustomization
		if err := strictyaml.UnmarshalStrict(text, &k); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if deprecated := k.CheckDeprecatedFields(); deprecated != nil && len(*deprecated) > 0 {
			t.Errorf("%s: %v", path, *deprecated)
		}
		// What is beside it is in it.
		beside, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*.yaml"))
		for _, file := range beside {
			if name := filepath.Base(file); name != d.Name() && name != "keyhint.yaml" && !slices.Contains(k.Resources, name) {
				t.Errorf("%s leaves out %s", path, name)
			}
		}
		return nil
	})
	if err != nil || decoded < 15 {
		t.Errorf("%d files, %v", decoded, err)
	}
}

// cluster is what a kustomization puts into a cluster.
type cluster struct {
	namespaces      []*corev1.Namespace
	serviceAccounts []*corev1.ServiceAccount
	services        []*corev1.Service
	deployments     []*appsv1.Deployment
	budgets         []*policyv1.PodDisruptionBudget
	policies        []*networkingv1.NetworkPolicy
	autoscalers     []*autoscalingv2.HorizontalPodAutoscaler
	monitors        []*monitoringv1.ServiceMonitor
	rules           []*monitoringv1.PrometheusRule
}

// build is what "kubectl kustomize" prints for a folder.
func build(t *testing.T, folder string) cluster {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		t.Fatal(err)
	}
	text, err := built.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	var c cluster
	for _, object := range decode(t, folder, text) {
		switch o := object.(type) {
		case *corev1.Namespace:
			c.namespaces = append(c.namespaces, o)
		case *corev1.ServiceAccount:
			c.serviceAccounts = append(c.serviceAccounts, o)
		case *corev1.Service:
			c.services = append(c.services, o)
		case *appsv1.Deployment:
			c.deployments = append(c.deployments, o)
		case *policyv1.PodDisruptionBudget:
			c.budgets = append(c.budgets, o)
		case *networkingv1.NetworkPolicy:
			c.policies = append(c.policies, o)
		case *autoscalingv2.HorizontalPodAutoscaler:
			c.autoscalers = append(c.autoscalers, o)
		case *monitoringv1.ServiceMonitor:
			c.monitors = append(c.monitors, o)
		case *monitoringv1.PrometheusRule:
			c.rules = append(c.rules, o)
		default:
			t.Errorf("%s has a %T, which no test looks at", folder, o)
		}
	}
	if len(c.deployments) != 1 || len(c.deployments[0].Spec.Template.Spec.Containers) != 1 {
		t.Fatalf("%s has %d deployments", folder, len(c.deployments))
	}
	return c
}
